//! What the environment says of traces, in OpenTelemetry's words.

use std::sync::Arc;

use eastfall_fabric::clock::Clock;
use eastfall_fabric::rng::stream;
use eastfall_fabric::trace::{Exporter, Settings, Tracer};
use eastfall_fabric::world::World;

use super::pipe::Traces;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const RATIO: &str = "OTEL_TRACES_SAMPLER_ARG";

/// The share of traces that are kept if nobody says otherwise: at a few hundred requests a second, a few traces.
const USUAL_RATIO: f64 = 0.01;

fn variable(name: &str) -> Option<String> {
    // Empty is as good as absent, says OpenTelemetry's specification.
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where traces are to be sent, if the environment asks for any. `ratio` is what the command line says.
///
/// # Errors
/// If they can't be sent so.
pub(super) fn wanted(ratio: Option<f64>) -> Result<Option<Traces>, String> {
    wanted_by(variable, ratio)
}

fn wanted_by(
    variable: impl Fn(&str) -> Option<String>,
    ratio: Option<f64>,
) -> Result<Option<Traces>, String> {
    let sound = |ratio: f64| (0.0..=1.0).contains(&ratio);
    if let Some(ratio) = ratio.filter(|ratio| !sound(*ratio)) {
        return Err(format!("--trace-ratio {ratio}: is out of range; write 0 to 1"));
    }
    let Some(endpoint) = variable(TRACES_ENDPOINT).or_else(|| variable(ENDPOINT)) else { return Ok(None) };
    if let Some(protocol) = variable(PROTOCOL).filter(|protocol| protocol != "grpc") {
        return Err(format!(
            "{PROTOCOL}={protocol}: only grpc is spoken; unset it, or name a collector's gRPC port"
        ));
    }
    let ratio = match (ratio, variable(RATIO)) {
        (Some(ratio), _) => ratio,
        (None, Some(text)) => text
            .parse()
            .ok()
            .filter(|ratio| sound(*ratio))
            .ok_or_else(|| format!("{RATIO}={text}: is no ratio; write 0 to 1"))?,
        (None, None) => USUAL_RATIO,
    };
    let settings = Settings { endpoint: endpoint.clone(), headers: variable(HEADERS).unwrap_or_default() };
    settings.check().map_err(|error| error.to_string())?;
    Ok(Some(Traces { endpoint, ratio }))
}

/// Has an instance's calls traced. `origin` is when the incident's time began, in nanoseconds of the Unix epoch.
///
/// # Errors
/// If spans can't be sent so.
pub(super) fn start(traces: &Traces, world: &World, clock: Clock, origin: u64) -> Result<Exporter, String> {
    let live = clock.as_live().ok_or("only a live clock has a wall's time to give spans")?;
    let settings =
        Settings { endpoint: traces.endpoint.clone(), headers: variable(HEADERS).unwrap_or_default() };
    let exporter =
        Exporter::new(&settings, world.instance(), *live, origin).map_err(|error| error.to_string())?;
    // Each life of an instance needs numbers of its own, in this run and in the next.
    let life = format!("{}/traces/{origin}/{}", world.instance().name, world.now().as_nanos());
    let rng = stream(world.region().seed, &life);
    world.region().trace_with(Tracer::new(clock, traces.ratio, rng, Arc::new(exporter.clone())));
    world.spawn(exporter.clone().run());
    Ok(exporter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(set: &[(&str, &str)], ratio: Option<f64>) -> Result<Option<Traces>, String> {
        let find =
            |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        wanted_by(find, ratio)
    }

    const AT: (&str, &str) = (ENDPOINT, "http://127.0.0.1:4317");

    #[test]
    fn nobody_is_traced_unless_asked() {
        assert_eq!(by(&[], None), Ok(None));
        assert_eq!(by(&[], Some(0.5)), Ok(None), "a ratio of nothing");
    }

    #[test]
    fn the_command_line_goes_before_the_environment() {
        let ratio = |set: &[_], ratio| by(set, ratio).unwrap().unwrap().ratio;
        assert_eq!(ratio(&[AT], None), USUAL_RATIO);
        assert_eq!(ratio(&[AT, (RATIO, "0.25")], None), 0.25);
        assert_eq!(ratio(&[AT, (RATIO, "0.25")], Some(1.0)), 1.0);
        let other = (TRACES_ENDPOINT, "http://127.0.0.1:1");
        assert_eq!(by(&[AT, other], None).unwrap().unwrap().endpoint, other.1, "the closer word counts");
    }

    #[test]
    fn what_can_not_be_sent_is_refused_before_anything_starts() {
        for (set, ratio, says) in [
            (&[AT][..], Some(1.5), "--trace-ratio 1.5"),
            (&[AT, (RATIO, "much")], None, "OTEL_TRACES_SAMPLER_ARG=much"),
            (&[AT, (PROTOCOL, "http/json")], None, "only grpc"),
            (&[(ENDPOINT, "https://collector.example:4317")], None, "https is not spoken"),
            (&[(ENDPOINT, "127.0.0.1:4317")], None, "127.0.0.1:4317"),
            (&[AT, (HEADERS, "key=1,secret")], None, "header 2"),
        ] {
            let refused = by(set, ratio).unwrap_err();
            assert!(refused.contains(says), "{set:?}: {refused}");
        }
    }
}
