//! `eastfall topology import`: a service graph of Istio's isotope as a topology.
//!
//! Isotope (`istio/tools`, `isotope/`) describes a graph of mock services in a `service-graph.yaml`; many such graphs have
//! been made of real systems. What of one can't be said in a topology is never dropped in silence: it becomes a note, at the
//! head of the topology and on standard error. What can't be read, or would not run, is an error with its line.

mod convert;
mod graph;
mod script;
mod values;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::Path;

use eastfall_topology::{Source, Topology};

use crate::failure::Failure;
use crate::session::schemas;

/// A topology made from another program's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The topology file's text, notes included.
    pub topology: String,
    /// What of the graph it does not say, a line each, with its place.
    pub notes: Vec<String>,
}

/// Makes a topology of the text of a `service-graph.yaml`. Customers come to each entry point at `rate` requests a second.
///
/// # Errors
/// Everything that is wrong with the graph, each with its line.
pub fn isotope(file: &Path, text: &str, rate: f64) -> Result<Imported, Failure> {
    let file = file.display().to_string();
    let graph = graph::read(&file, text).map_err(|problems| Failure(problems.join("\n")))?;
    let (topology, notes) = convert::topology(&file, &graph, rate);
    // The rules of topologies are told where they are: a circle of calls, say, can't be seen in one service.
    Topology::load(Source { file: &file, text: &topology }, &[], &schemas(), 1.0).map_err(|problems| {
        let told = problems
            .0
            .iter()
            .map(|problem| format!("{file}: {}: {}; {}", problem.key, problem.message, problem.cure));
        Failure(told.collect::<Vec<_>>().join("\n"))
    })?;
    Ok(Imported { topology, notes })
}
