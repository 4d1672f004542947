//! Names and reasons that people give: kept for ever and shown in stories, so neither empty nor endless.

use crate::problem::Problem;

/// Kept as who said it; the token proves only that the caller may decide.
const NAMELESS: &str = "api";
const LONGEST_NAME: usize = 100;
pub(crate) const LONGEST_REASON: usize = 2_000;

pub(crate) fn name(by: Option<String>) -> Result<String, Problem> {
    by.map_or(Ok(NAMELESS.into()), |by| said("by", &by, LONGEST_NAME).map(Into::into))
}

pub(crate) fn said<'a>(field: &str, text: &'a str, longest: usize) -> Result<&'a str, Problem> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Problem::body(format!("`{field}` is empty"))),
        length if length > longest => {
            Err(Problem::body(format!("`{field}` has {length} characters; at most {longest} are kept")))
        }
        _ => Ok(text),
    }
}
