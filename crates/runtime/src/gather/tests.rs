use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use kubewise_remediation::evidence::AllPods;

use super::*;

/// Counts how often every pod is listed.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl ClusterReader for Counting {
    async fn get(&self, _object: &ObjectRef) -> Result<Option<Document>, Failure> {
        Ok(None)
    }

    async fn list(&self, _kind: &Kind, _namespace: Option<&str>) -> Result<Vec<Document>, Failure> {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        Ok(Vec::new())
    }

    async fn pods_on(&self, _node: &str) -> Result<Vec<Document>, Failure> {
        Ok(Vec::new())
    }

    async fn logs(&self, _pod: &ObjectRef, _container: &str, _previous: bool) -> Result<String, Failure> {
        Ok(String::new())
    }

    async fn last_changed(&self, _settings: &ObjectRef) -> Result<Option<Timestamp>, Failure> {
        Ok(None)
    }
}

fn at(seconds: u64) -> Timestamp {
    Period::from_secs(seconds).after(Timestamp::UNIX_EPOCH)
}

#[tokio::test]
async fn plans_share_a_list_of_pods_and_a_last_look_reads_its_own() {
    let (reader, pods) = (Counting::default(), WholeList::<AllPods>::default());
    let listed = || reader.0.load(Ordering::Relaxed);
    let planned = |now| pods.since(&reader, &Kind::Pod, SAME_LISTS.before(at(now)), at(now));
    let all = futures::join!(planned(100), planned(100), planned(105));
    assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok());
    assert_eq!(listed(), 1, "whoever comes meanwhile waits for the same");
    assert!(pods.since(&reader, &Kind::Pod, at(105), at(105)).await.is_ok());
    assert_eq!(listed(), 2, "before an act nothing older counts");
    assert!(planned(111).await.is_ok());
    assert_eq!(listed(), 3);
    pods.forget_old(at(116));
    assert!(pods.0.lock().await.is_some());
    pods.forget_old(at(117));
    assert!(pods.0.lock().await.is_none(), "it is large, and serves no more");
}
