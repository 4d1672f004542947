//! A learner as bytes, and back, as if it had never stopped.
//!
//! ```text
//! magic "KWLS" │ kind, 4 bytes │ version, u16 │ length of the body, u32 │ FNV-1a of kind, version, body, u64 │ body
//! ```
//! All numbers are little-endian; the body is postcard. Restoring trusts nothing: the frame is compared before
//! the body is read, a length in the body never reserves more than the bytes that are there (postcard's and
//! serde's promise), and each learner then checks what it holds, so that no bytes whatever can make it panic
//! later. The checksum finds accidents, not intent.

use std::hash::Hasher;

use serde::{Serialize, de::DeserializeOwned};

const MAGIC: [u8; 4] = *b"KWLS";
const HEADER: usize = 22;

/// What can be written down and taken up again.
pub trait Snapshot: Serialize + DeserializeOwned {
    /// Tells the learners apart.
    const KIND: [u8; 4];
    /// Raised when what a learner holds changes its shape.
    const VERSION: u16;

    /// Whether the parts fit each other; called after reading, before anybody uses it.
    fn check(&self) -> Result<(), Inconsistent>;

    /// As bytes.
    fn snapshot(&self) -> Result<Vec<u8>, Error> {
        let body = postcard::to_allocvec(self).map_err(Error::Write)?;
        let length = u32::try_from(body.len()).map_err(|_| Error::TooLong { length: body.len() })?;
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend(MAGIC);
        bytes.extend(Self::KIND);
        bytes.extend(Self::VERSION.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(checksum(Self::KIND, Self::VERSION, &body).to_le_bytes());
        bytes.extend(body);
        Ok(bytes)
    }

    /// From bytes.
    fn restore(bytes: &[u8]) -> Result<Self, Error> {
        let (magic, rest) = take(bytes, bytes.len())?;
        let (kind, rest) = take(rest, bytes.len())?;
        let (version, rest) = take(rest, bytes.len())?;
        let (length, rest) = take(rest, bytes.len())?;
        let (sum, body) = take(rest, bytes.len())?;
        if magic != MAGIC {
            return Err(Error::Magic { found: magic });
        }
        if kind != Self::KIND {
            return Err(Error::Kind { expected: Self::KIND, found: kind });
        }
        let version = u16::from_le_bytes(version);
        if version != Self::VERSION {
            return Err(Error::Version { expected: Self::VERSION, found: version });
        }
        let length = u32::from_le_bytes(length);
        if length as usize != body.len() {
            return Err(Error::Length { expected: length, found: body.len() });
        }
        if checksum(kind, version, body) != u64::from_le_bytes(sum) {
            return Err(Error::Checksum);
        }
        let (learner, rest) = postcard::take_from_bytes::<Self>(body).map_err(Error::Read)?;
        if !rest.is_empty() {
            return Err(Error::Rest { bytes: rest.len() });
        }
        learner.check()?;
        Ok(learner)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{found} bytes are too few for the head of a snapshot, which has {HEADER}")]
    Short { found: usize },
    #[error("not a snapshot: it begins with {found:?}")]
    Magic { found: [u8; 4] },
    #[error("a snapshot of {}, not of {}", found.escape_ascii(), expected.escape_ascii())]
    Kind { expected: [u8; 4], found: [u8; 4] },
    #[error("a snapshot of version {found}; this program reads version {expected}")]
    Version { expected: u16, found: u16 },
    /// Cut short, or something was appended.
    #[error("a body of {found} bytes where the head says {expected}")]
    Length { expected: u32, found: usize },
    #[error("the checksum does not fit: the snapshot was damaged")]
    Checksum,
    #[error("the body cannot be read")]
    Read(#[source] postcard::Error),
    #[error("{bytes} bytes are left after the body")]
    Rest { bytes: usize },
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
    #[error("the learner cannot be written")]
    Write(#[source] postcard::Error),
    #[error("{length} bytes are too many for a snapshot")]
    TooLong { length: usize },
}

/// The bytes are whole, what they hold cannot be a learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the snapshot does not hold together: {0}")]
pub struct Inconsistent(pub &'static str);

/// For [`Snapshot::check`]: what must hold, in words.
pub fn ensure(holds: bool, what: &'static str) -> Result<(), Inconsistent> {
    if holds { Ok(()) } else { Err(Inconsistent(what)) }
}

fn checksum(kind: [u8; 4], version: u16, body: &[u8]) -> u64 {
    let mut hasher = fnv::FnvHasher::default();
    hasher.write(&kind);
    hasher.write(&version.to_le_bytes());
    hasher.write(body);
    hasher.finish()
}

fn take<const COUNT: usize>(bytes: &[u8], found: usize) -> Result<([u8; COUNT], &[u8]), Error> {
    match bytes.split_first_chunk::<COUNT>() {
        Some((chunk, rest)) => Ok((*chunk, rest)),
        None => Err(Error::Short { found }),
    }
}
