//! The commands that talk to a running fleet: `status`, `set`, `inject`.

use std::fmt::Write as _;

use eastfall_proto::control::control_client::ControlClient;
use eastfall_proto::control::{InjectRequest, SetRequest, StatusRequest, StatusResponse, StopFaultsRequest};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::TOKEN;
use super::registry::{FleetEntry, find};
use crate::cli;
use crate::failure::Failure;

pub(crate) type Client = ControlClient<InterceptedService<Channel, Shows>>;

/// Shows the token with every call.
#[derive(Clone)]
pub(crate) struct Shows(tonic::metadata::MetadataValue<tonic::metadata::Ascii>);

impl tonic::service::Interceptor for Shows {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(TOKEN, self.0.clone());
        Ok(request)
    }
}

/// `eastfall status`
///
/// # Errors
/// If no fleet runs, several do and none is named, or it does not answer.
pub fn status(arguments: &cli::Status) -> Result<String, Failure> {
    let status = talk(&arguments.which, async |mut client| client.status(StatusRequest {}).await)?;
    if arguments.json { as_json(&status) } else { Ok(as_text(&status)) }
}

/// `eastfall set PATH=VALUE`
///
/// # Errors
/// As for [`status`], and if the setting breaks a rule.
pub fn set(arguments: &cli::Set) -> Result<String, Failure> {
    let request = SetRequest { setting: arguments.setting.clone() };
    let done = talk(&arguments.which, async |mut client| client.set(request).await)?;
    Ok(format!("{}: in force in {} instances\n", arguments.setting, done.acknowledged))
}

/// `eastfall inject FAULT`, and `eastfall inject stop [ID]`
///
/// # Errors
/// As for [`status`], and if the fault can't be read or names what is not there.
pub fn inject(arguments: &cli::Inject) -> Result<String, Failure> {
    let words = arguments.fault.join(" ");
    if let Some(rest) = words.strip_prefix("stop").filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
        let request = StopFaultsRequest { id: rest.trim().to_owned() };
        let done = talk(&arguments.which, async |mut client| client.stop_faults(request).await)?;
        return Ok(format!("{} stopped\n", done.stopped));
    }
    let request = InjectRequest { fault: words.clone() };
    let done = talk(&arguments.which, async |mut client| client.inject(request).await)?;
    Ok(format!("{}: {words}\n", done.id))
}

fn talk<T>(
    which: &cli::Which,
    say: impl AsyncFnOnce(Client) -> Result<tonic::Response<T>, Status>,
) -> Result<T, Failure> {
    let fleet = find(which.fleet.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure(format!("the runtime can't be built: {error}")))?;
    runtime.block_on(async {
        let client = connect(&fleet).await?;
        let answer = say(client).await.map_err(|status| Failure(status.message().to_owned()))?;
        Ok(answer.into_inner())
    })
}

/// A client for a fleet.
pub(crate) async fn connect(fleet: &FleetEntry) -> Result<Client, Failure> {
    let error = |error: &dyn std::fmt::Display| Failure(format!("the fleet at {}: {error}", fleet.address));
    let token =
        fleet.token.parse().map_err(|cause: tonic::metadata::errors::InvalidMetadataValue| error(&cause))?;
    let endpoint = Endpoint::try_from(format!("http://{}", fleet.address)).map_err(|cause| error(&cause))?;
    let channel = endpoint.connect().await.map_err(|cause| error(&cause))?;
    Ok(ControlClient::with_interceptor(channel, Shows(token)))
}

fn as_text(status: &StatusResponse) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ =
        writeln!(out, "{} at {}, {} times as fast as the wall", status.scenario, status.now, status.speed);
    let _ = writeln!(out, "run {}, DNS at {}\n", status.run, status.name_server);
    for system in &status.systems {
        let state = if system.impaired { "impaired" } else { "well" };
        let _ = writeln!(
            out,
            "{:<28} {state:<9} {} of {} requests failed in the last minute",
            system.name, system.failed, system.requests
        );
    }
    let _ = writeln!(out);
    for instance in &status.instances {
        let addresses = instance.addresses.first().map(String::as_str).unwrap_or_default();
        let _ =
            writeln!(out, "{:<32} {:<9} pid {:<8} {addresses}", instance.name, instance.state, instance.pid);
    }
    for fault in &status.faults {
        let _ = writeln!(out, "fault {}: {} since {}", fault.id, fault.fault, fault.since);
    }
    for setting in &status.settings {
        let _ = writeln!(out, "set {setting}");
    }
    out
}

fn as_json(status: &StatusResponse) -> Result<String, Failure> {
    let instances: Vec<_> = status
        .instances
        .iter()
        .map(|instance| {
            serde_json::json!({
                "name": instance.name, "service": instance.service, "system": instance.system,
                "state": instance.state, "pid": instance.pid, "addresses": instance.addresses,
            })
        })
        .collect();
    let systems: Vec<_> = status
        .systems
        .iter()
        .map(|system| {
            serde_json::json!({
                "name": system.name, "requests": system.requests, "failed": system.failed, "impaired": system.impaired,
                "attempts": system.attempts, "retries": system.retries,
            })
        })
        .collect();
    let faults: Vec<_> = status
        .faults
        .iter()
        .map(|fault| serde_json::json!({ "id": fault.id, "fault": fault.fault, "since": fault.since }))
        .collect();
    let events: Vec<_> = status
        .events
        .iter()
        .map(|event| {
            serde_json::json!({
                "at": event.at, "kind": event.kind, "service": event.service, "text": event.text, "times": event.times,
            })
        })
        .collect();
    let all = serde_json::json!({
        "scenario": status.scenario, "now": status.now, "speed": status.speed, "run": status.run,
        "name_server": status.name_server, "instances": instances, "systems": systems, "faults": faults,
        "settings": status.settings, "events": events,
    });
    serde_json::to_string_pretty(&all).map(|text| text + "\n").map_err(|error| Failure(error.to_string()))
}
