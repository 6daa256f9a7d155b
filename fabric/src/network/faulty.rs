//! Faults on an edge, between the policies and the connection: what the caller's policies then have to deal with.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::call::{Call, CallFuture};
use crate::fault::Verdict;
use crate::network::Connection;
use crate::network::server::connection_reset;
use crate::trace::Trace;
use crate::world::World;

/// Makes a call on a connection to `peer`, an instance of `callee`, under the faults in force on that way.
pub(crate) fn call(
    world: &World,
    callee: &str,
    peer: &str,
    connection: &Arc<dyn Connection>,
    call: Call,
) -> CallFuture {
    let caller = world.instance();
    let verdict = world.region().faults.verdict(&caller.name, &caller.service, peer, callee, call.method);
    if let Some(trace) = &call.context.trace {
        note(trace, &verdict);
    }
    match verdict {
        Verdict::Pass => connection.handle(call),
        Verdict::Fail(status) => Box::pin(async move { Err(status) }),
        Verdict::BlackHole => Box::pin(std::future::pending()),
        Verdict::Delay(span) => {
            // A message under way arrives, whether or not its sender still waits: so it has a task of its own.
            let (answer, wait) = oneshot::channel();
            let (connection, sleep) = (Arc::clone(connection), world.sleep(span));
            world.spawn(async move {
                sleep.await;
                let _ = answer.send(connection.handle(call).await);
            });
            Box::pin(async move { wait.await.unwrap_or_else(|_| Err(connection_reset())) })
        }
    }
}

/// Says on the attempt's span what it met.
fn note(trace: &Trace, verdict: &Verdict) {
    let met = match verdict {
        Verdict::Pass => return,
        Verdict::Fail(status) => format!("fails: {}", status.message()),
        Verdict::BlackHole => "is swallowed".to_owned(),
        Verdict::Delay(span) => format!("is delayed by {span}"),
    };
    trace.note("eastfall.fault", met);
}
