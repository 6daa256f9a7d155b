//! What an operator asks of a running fleet: `eastfall inject`, `eastfall set`, and ending what was injected.

use eastfall_fabric::fault::Injection;
use eastfall_topology::Setting;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Controller;

/// Something to do now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Breaks something.
    Inject(Injection),
    /// Ends a fault by its id: one that was injected, or a step of the scenario.
    Remove(String),
    /// Changes a value of the topology: `PATH=VALUE`.
    Set(String),
}

/// A request, and where its answer goes: one sentence, whether it was done or not.
#[derive(Debug)]
pub struct Wish {
    /// What to do.
    pub request: Request,
    /// Hears what was done, as soon as it is; an injected fault goes on after that.
    pub reply: oneshot::Sender<Result<String, String>>,
}

impl Wish {
    /// A wish and the place to wait for its answer.
    pub fn new(request: Request) -> (Wish, oneshot::Receiver<Result<String, String>>) {
        let (reply, answer) = oneshot::channel();
        (Wish { request, reply }, answer)
    }
}

impl Controller {
    /// Does what was asked. `number` tells this request from the others.
    pub(super) async fn grant(&self, number: u32, wish: Wish) {
        // Who asked may be gone; what was asked is done all the same.
        match wish.request {
            Request::Inject(injection) => {
                let id = format!("inject-{number}");
                let answer = self.inject(&id, &injection).await;
                let broken = answer.is_ok();
                let _ = wish.reply.send(answer);
                if broken {
                    let until = injection.lasts.map(|lasts| self.now() + lasts);
                    if let Err(reason) = self.hold_and_mend(&id, &injection.fault, until).await {
                        self.warn(&id, &reason);
                    }
                }
            }
            Request::Remove(id) => {
                let known = self.broken().contains_key(&id);
                let answer = match self.mend(&id).await {
                    Ok(()) if known => Ok(format!("{id} has ended")),
                    Ok(()) => {
                        let in_force: Vec<String> = self.broken().keys().cloned().collect();
                        Err(format!("no fault `{id}` is in force; in force: [{}]", in_force.join(", ")))
                    }
                    Err(reason) => Err(reason),
                };
                let _ = wish.reply.send(answer);
            }
            Request::Set(text) => {
                let _ = wish.reply.send(self.set_text(&format!("set-{number}"), &text).await);
            }
        }
    }

    async fn inject(&self, id: &str, injection: &Injection) -> Result<String, String> {
        injection
            .fault
            .check(&self.fleet.topology())
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
        self.break_it(id, &injection.fault).await?;
        Ok(format!("{id}: {injection}"))
    }

    async fn set_text(&self, id: &str, text: &str) -> Result<String, String> {
        let setting: Setting =
            text.parse().map_err(|error: eastfall_topology::SettingError| error.to_string())?;
        self.set(id, &setting).await?;
        Ok(setting.to_string())
    }
}
