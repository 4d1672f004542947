//! Connections and the work done on them, off the executor's threads and within a time limit.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kubewise_core::Failure;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// For a turn on a connection: longer than the slowest write in front of us should take.
const TURN: Duration = Duration::from_secs(10);
/// For the work itself, with the wait for a foreign tool's lock (2 s) in it.
const WORK: Duration = Duration::from_secs(15);

/// A fixed set of connections; the one of the writer, or those of the readers.
#[derive(Debug)]
pub(crate) struct Lane {
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    /// Held until the last connection is closed.
    _lock: Arc<File>,
}

/// What stops a piece of work.
pub(crate) enum Fault {
    /// The store's own answer.
    Refused(Failure),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sqlite(error)
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Fault::Refused(failure)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(failure) => failure,
            Fault::Sqlite(error) => Failure::unavailable(&error),
        }
    }
}

fn late() -> String {
    format!("the store did not answer within {} s", WORK.as_secs())
}

impl Lane {
    pub(crate) fn new(connections: Vec<Connection>, lock: Arc<File>) -> Arc<Self> {
        let turns = Arc::new(Semaphore::new(connections.len()));
        Arc::new(Lane { idle: Mutex::new(connections), turns, _lock: lock })
    }

    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Failure> {
        let loan = self.lend().await?;
        let interrupt = loan.connection()?.get_interrupt_handle();
        let task = tokio::task::spawn_blocking(move || Ok(work(loan.connection()?)?));
        match timeout(WORK, task).await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => Err(Failure::unavailable(&panic)),
            Err(_) => {
                interrupt.interrupt();
                Err(Failure::Unavailable { message: late() })
            }
        }
    }

    /// All of the work or nothing of it. Once the commit was asked for and not confirmed, nobody knows.
    pub(crate) async fn write<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Failure> {
        let mut loan = self.lend().await?;
        let task = tokio::task::spawn_blocking(move || {
            let transaction = loan
                .connection_mut()?
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(Fault::Sqlite)?;
            let done = work(&transaction)?;
            transaction.commit().map_err(|error| Failure::unknown(&error))?;
            Ok(done)
        });
        match timeout(WORK, task).await {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => Err(Failure::unknown(&panic)),
            // The work goes on and keeps the lane until it ends, so nothing overtakes it.
            Err(_) => Err(Failure::Unknown { message: late() }),
        }
    }

    async fn lend(self: &Arc<Self>) -> Result<Loan, Failure> {
        let turn = timeout(TURN, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_| Failure::Unavailable { message: "the store is busy".into() })?
            .map_err(|closed| Failure::unavailable(&closed))?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Loan { connection, lane: Arc::clone(self), _turn: turn })
    }
}

/// Brings the connection home when the work ends, also by panic or after its caller has gone.
struct Loan {
    connection: Option<Connection>,
    lane: Arc<Lane>,
    _turn: OwnedSemaphorePermit,
}

impl Loan {
    fn connection(&self) -> Result<&Connection, Failure> {
        self.connection.as_ref().ok_or_else(lost)
    }

    fn connection_mut(&mut self) -> Result<&mut Connection, Failure> {
        self.connection.as_mut().ok_or_else(lost)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut idle = self.lane.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.connection.take());
    }
}

fn lost() -> Failure {
    Failure::Unavailable { message: "the store's connection is gone".into() }
}
