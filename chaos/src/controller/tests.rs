//! The controller against a fleet that writes down what it is told: steps begin, end and are undone when they should be.

use eastfall_fabric::Span;
use eastfall_fabric::engine::sim;
use eastfall_fabric::fleet::{Command, FleetError, Recipient};
use eastfall_topology::{Setting, Topology};
use tonic::Status;

use super::*;
use crate::testing::{region, scenario};

/// A fleet that writes down what it is told.
struct Fake {
    topology: Mutex<Arc<Topology>>,
    lines: Lines,
    /// So many calls fail before one succeeds.
    calls_to_fail: Mutex<u32>,
}

/// What happened, each line with its second.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn note(&self, line: String) {
        let second = sim::now().as_nanos() / 1_000_000_000;
        self.0.lock().expect("one thread").push(format!("{second}s {line}"));
    }
}

/// Events as lines: `step.started break.slow`.
struct Events(Lines);

impl Journal for Events {
    fn event(&self, kind: &str, fields: &[(&str, String)]) {
        let id = fields.iter().find(|(name, _)| *name == "id").map(|(_, id)| id.as_str()).unwrap_or_default();
        let reason =
            fields.iter().find(|(name, _)| *name == "reason").map(|(_, reason)| format!(": {reason}"));
        self.0.note(format!("{kind} {id}{}", reason.unwrap_or_default()));
    }
}

impl Fake {
    fn told(&self, what: &str, instance: &str) -> BoxFuture<'static, Result<(), FleetError>> {
        self.lines.note(format!("> {what} {instance}"));
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Fleet for Fake {
    fn topology(&self) -> Arc<Topology> {
        self.topology.lock().expect("one thread").clone()
    }
    fn instances(&self) -> Vec<String> {
        self.topology().services.values().flat_map(|service| service.instances.clone()).collect()
    }
    fn start<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        self.told("start", instance)
    }
    fn kill<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        self.told("kill", instance)
    }
    fn pause<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        self.told("pause", instance)
    }
    fn resume<'a>(&'a self, instance: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        self.told("resume", instance)
    }
    fn command<'a>(&'a self, _: Recipient<'a>, command: Command) -> BoxFuture<'a, Result<(), FleetError>> {
        let outcome = match command {
            Command::Set { path, value } => {
                let changed = self.topology().with(&Setting { path: path.clone(), value: value.clone() });
                self.lines.note(format!("> set {path}={value}"));
                changed
                    .map(|changed| *self.topology.lock().expect("one thread") = Arc::new(changed))
                    .map_err(|problems| FleetError::Setting(problems.to_string()))
            }
            Command::AddFault { id, fault } => {
                self.lines.note(format!("> add {id}: {fault}"));
                Ok(())
            }
            Command::RemoveFault { id } => {
                self.lines.note(format!("> remove {id}"));
                Ok(())
            }
            Command::Stop => Ok(()),
        };
        Box::pin(std::future::ready(outcome))
    }
    fn call<'a>(
        &'a self,
        callee: &'a str,
        method: &'a str,
        _: Vec<u8>,
    ) -> BoxFuture<'a, Result<Vec<u8>, Status>> {
        self.lines.note(format!("> call {callee}{method}"));
        let mut left = self.calls_to_fail.lock().expect("one thread");
        let outcome = if *left > 0 { Err(Status::unavailable("stuck")) } else { Ok(Vec::new()) };
        *left = left.saturating_sub(1);
        Box::pin(std::future::ready(outcome))
    }
}

/// Plays a scenario of these steps, with wishes at their seconds, until `stop`; returns what happened.
fn play(
    steps: &str,
    wishes: &'static [(u64, &'static str)],
    stop: Span,
    calls_to_fail: u32,
) -> (Vec<String>, Vec<Played>) {
    let scenario = scenario(steps);
    let lines = Lines::default();
    let topology = Mutex::new(Arc::new(region()));
    let fake = Arc::new(Fake { topology, lines: lines.clone(), calls_to_fail: Mutex::new(calls_to_fail) });
    let clock = Clock::virtual_time();
    let (asked, answers) = (lines.clone(), lines.clone());
    let played = sim::block_on(async move {
        let controller = Controller::new(fake, clock, Arc::new(Events(asked)));
        let (sender, receiver) = mpsc::channel(8);
        let asking = async {
            for (second, request) in wishes {
                clock.sleep_until(Moment::START + Span::from_secs(*second)).await;
                let (wish, answer) = Wish::new(serde_json::from_str(request).expect(request));
                sender.send(wish).await.expect("it listens");
                let answer = match answer.await.expect("it answers") {
                    Ok(answer) | Err(answer) => answer,
                };
                answers.note(format!("< {answer}"));
            }
            drop(sender);
        };
        let running = controller.run(&scenario, receiver, clock.sleep(stop));
        futures_util::future::join(running, asking).await.0
    });
    let happened = lines.0.lock().expect("one thread").clone();
    (happened, played.expect("it ends"))
}

const HOUR: Span = Span::from_mins(60);

fn fault(fault: &str, end: &str) -> String {
    format!(
        "[[step]]\nid = \"s\"\nkind = \"trigger\"\nat = \"-9m\"\nwhat = \"it\"\nfault = \"{fault}\"\n{end}\n"
    )
}

#[test]
fn a_fault_is_in_force_from_its_time_to_its_end() {
    let (happened, played) =
        play(&fault("latency 15s on dns-enactor-c->route53", "for = \"30s\""), &[], HOUR, 0);
    let expected = [
        "60s step.started s",
        "60s > add s: latency 15s on dns-enactor-c->route53",
        "60s fault.injected s",
        "90s > remove s",
        "90s fault.ended s",
        "90s step.ended s",
    ];
    assert_eq!(happened, expected);
    assert_eq!(played, [Played { id: "s".into(), began: Moment::START + Span::from_secs(60), failed: None }]);
}

#[test]
fn killed_instances_come_back_once_their_restart_delay_is_over() {
    let (happened, _) = play(&fault("kill dwfm-1, dwfm-3", ""), &[], HOUR, 0);
    let told: Vec<&String> = happened.iter().filter(|line| line.contains('>')).collect();
    assert_eq!(told, ["60s > kill dwfm-1", "60s > kill dwfm-3", "80s > start dwfm-1", "80s > start dwfm-3"]);
}

#[test]
fn what_is_broken_when_the_run_stops_is_mended_but_the_dead_stay_dead() {
    let steps = fault("pause dwfm-1", "") + &fault("kill dwfm-2", "for = \"1h\"").replace("\"s\"", "\"t\"");
    let (happened, played) = play(&steps, &[], Span::from_secs(100), 0);
    assert_eq!(
        happened[happened.len() - 2..],
        ["100s > resume dwfm-1", "100s fault.ended s"],
        "{happened:#?}"
    );
    assert_eq!(played.len(), 2, "steps that began count although they didn't end: {played:?}");
}

#[test]
fn a_step_that_fails_is_tried_again_as_often_as_it_says() {
    let call = "[[step]]\nid = \"s\"\nkind = \"action\"\nat = \"-9m\"\nwhat = \"it\"\nretry = { every = \"10s\", attempts = 3 }\n\
                call = { service = \"dns-tool\", method = \"eastfall.dnsautomation.v1.Operators/InstallRecordTree\" }";
    let (happened, played) = play(call, &[], HOUR, 2);
    let calls = happened.iter().filter(|line| line.contains("> call dns-tool/eastfall")).count();
    assert_eq!((calls, &played[0].failed), (3, &None), "the third try succeeds: {happened:#?}");
    assert_eq!(happened.last().map(String::as_str), Some("80s step.ended s"));
    let (happened, played) = play(call, &[], HOUR, 3);
    let failed = played[0].failed.as_deref().unwrap_or_default();
    assert!(failed.contains("dns-tool answered") && failed.contains("Unavailable: stuck"), "{failed}");
    assert!(happened.last().is_some_and(|line| line.starts_with("80s step.failed s: ")), "{happened:#?}");
}

#[test]
fn instances_are_restarted_one_after_the_other() {
    let restart = "[[step]]\nid = \"s\"\nkind = \"action\"\nat = \"-9m\"\nwhat = \"it\"\n\
                   restart = { service = \"dwfm\", fraction = 0.5, spacing = \"5s\" }";
    let (happened, _) = play(restart, &[], HOUR, 0);
    let told: Vec<&String> = happened.iter().filter(|line| line.contains('>')).collect();
    assert_eq!(told, ["60s > kill dwfm-1", "65s > kill dwfm-2", "80s > start dwfm-1", "85s > start dwfm-2"]);
}

#[test]
fn a_setting_that_breaks_a_rule_fails_its_step_and_nothing_else() {
    let set = |id: &str, attempts: u32| {
        format!(
            "[[step]]\nid = \"{id}\"\nkind = \"action\"\nat = \"-9m\"\nwhat = \"it\"\nset = {{ \"service.dwfm.calls.dynamodb.retry.attempts\" = {attempts} }}\n"
        )
    };
    let (happened, played) =
        play(&set("s", 7), &[(70, r#"{"set":"service.dwfm.calls.dynamodb.retry.attempts=0"}"#)], HOUR, 0);
    assert!(happened.contains(&"60s setting.changed s".to_owned()), "{happened:#?}");
    assert!(
        happened.iter().any(|line| line.starts_with("70s < ") && line.contains("attempts")),
        "{happened:#?}"
    );
    assert_eq!(played.len(), 1, "a wish is no step");
}

#[test]
fn an_operator_can_inject_and_remove_while_a_scenario_plays() {
    let wishes = &[
        (10, r#"{"inject":"latency 1s on dwfm->dynamodb for 1m"}"#),
        (20, r#"{"inject":"black-hole dwfm->dynamodb"}"#),
        (30, r#"{"remove":"inject-2"}"#),
        (40, r#"{"remove":"inject-9"}"#),
        (50, r#"{"inject":"kill dwmf"}"#),
    ];
    let (happened, _) = play("", wishes, HOUR, 0);
    let lines: Vec<&str> =
        happened.iter().map(String::as_str).filter(|line| !line.contains("fault.")).collect();
    let expected = [
        "10s > add inject-1: latency 1s on dwfm->dynamodb",
        "10s < inject-1: latency 1s on dwfm->dynamodb for 1m",
        "20s > add inject-2: black-hole dwfm->dynamodb",
        "20s < inject-2: black-hole dwfm->dynamodb",
        "30s > remove inject-2",
        "30s < inject-2 has ended",
        "40s < no fault `inject-9` is in force; in force: [inject-1]",
    ];
    assert_eq!(lines[..7], expected, "{happened:#?}");
    assert!(
        lines[7].contains("`dwmf` is no service or instance of this topology; did you mean `dwfm`?"),
        "{lines:#?}"
    );
    assert_eq!(lines[8], "70s > remove inject-1");
}

#[test]
fn a_run_can_be_driven_from_any_thread() {
    fn sendable<T: Send>(_: &T) {}
    let fake = Fake {
        topology: Mutex::new(Arc::new(region())),
        lines: Lines::default(),
        calls_to_fail: Mutex::new(0),
    };
    let controller =
        Controller::new(Arc::new(fake), Clock::virtual_time(), Arc::new(Events(Lines::default())));
    let (scenario, (_, wishes)) = (scenario(""), mpsc::channel(1));
    sendable(&controller.run(&scenario, wishes, std::future::pending()));
}
