//! One question to the real Gemini, if `KUBEWISE_TEST_GEMINI_KEY` holds a key. It costs a fraction of a cent.

use kubewise_core::author::Ending;
use kubewise_llm::{Options, Provider};
use serde_json::Value;

use crate::{ask, prompt};

#[tokio::test]
async fn gemini_answers_by_the_schema() {
    let Ok(key) = std::env::var("KUBEWISE_TEST_GEMINI_KEY") else {
        println!("skipped: KUBEWISE_TEST_GEMINI_KEY is not set");
        return;
    };
    let options = Options { provider: Provider::Gemini, api_key: Some(key.into()), ..Options::default() };
    let answer = ask(&options, &prompt()).await.expect("an answer");
    assert_eq!(answer.ending, Ending::Complete, "{answer:?}");
    let read: Value = serde_json::from_str(&answer.text).expect("JSON");
    assert!(read["reasoning"].is_string() && read["action"].is_string(), "{read}");
    assert!(answer.usage.is_some_and(|usage| usage.output_tokens > 0), "{answer:?}");
}
