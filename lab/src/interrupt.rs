//! Ctrl-C and SIGTERM for work that can stop early and still say what it has found.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_util::future::{Either, select};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::failure::Failure;

/// Does some work; the flag that it is given is set when somebody wants it to stop.
///
/// # Errors
/// Those of the work, and if signals can't be caught.
pub fn until_interrupted<T>(work: impl FnOnce(&AtomicBool) -> Result<T, Failure>) -> Result<T, Failure> {
    let uncaught = |error: std::io::Error| Failure(format!("signals can't be caught: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(uncaught)?;
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        let catch = |kind| signal(kind).map_err(uncaught);
        (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?)
    };
    let stop = AtomicBool::new(false);
    let (done, over) = oneshot::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| {
            runtime.block_on(async {
                let signals = select(Box::pin(interrupt.recv()), Box::pin(terminate.recv()));
                if let Either::Left(_) = select(signals, over).await {
                    stop.store(true, Ordering::Relaxed);
                }
            });
        });
        let result = work(&stop);
        drop(done);
        result
    })
}
