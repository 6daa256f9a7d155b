//! stub
use crate::call::*;
use crate::clock::Clock;
use crate::record::*;
use crate::rng::Rng;
use eastfall_topology::{Policy, time::Moment};
/// stub
pub struct Stack {
    t: SharedHandler,
    c: Clock,
    r: EdgeRecorder,
}
impl Stack {
    /// stub
    pub fn new(clock: Clock, _: Rng, _: &Policy, r: EdgeRecorder, transport: SharedHandler) -> Self {
        Stack { t: transport, c: clock, r }
    }
    /// stub
    pub async fn call(&self, call: Call, intended: Moment) -> Outcome {
        let s = self.c.now();
        let o = self.t.handle(call).await;
        self.r.request(Ending::of(&o), intended, s, self.c.now());
        o
    }
    /// stub
    pub fn replace(&self, _: &Policy) {}
}
