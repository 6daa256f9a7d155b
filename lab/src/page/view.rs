//! `eastfall view`: finished runs on the page, one as a replay, several side by side.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use tokio::net::TcpListener;

use super::model::{Document, Model};
use super::report::write_models;
use super::server::{Content, Site};
use crate::cli::{self, exit};
use crate::failure::Failure;
use crate::output;
use crate::run_folder::RunFolder;

/// Points in time of a replay: all of 28 hours at a sample in ten seconds.
const ROWS: usize = 12_000;

/// Serves the runs until Ctrl-C, or writes them into a file.
///
/// # Errors
/// If a folder can't be read, or the port is taken.
pub fn view(arguments: &cli::View) -> Result<u8, Failure> {
    let model = |folder: &std::path::PathBuf| Model::of_run(&RunFolder::open(folder)?);
    let models: Vec<Model> = arguments.runs.iter().map(model).collect::<Result<_, Failure>>()?;
    if let Some(file) = &arguments.out {
        return write(file, models);
    }
    let models: Vec<Model> = models.into_iter().map(|model| model.thinned(ROWS, ROWS)).collect();
    let document = Document { live: false, runs: &models, comparison: None, instances: Default::default() };
    let document = serde_json::to_vec(&document).map_err(|error| Failure(error.to_string()))?;
    drop(models);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure(format!("the runtime can't be built: {error}")))?;
    runtime.block_on(serve(arguments.port, document))
}

fn write(file: &Path, models: Vec<Model>) -> Result<u8, Failure> {
    write_models(file, models, None)?;
    output::line(file.display());
    Ok(exit::DONE)
}

async fn serve(port: u16, document: Vec<u8>) -> Result<u8, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| {
        Failure(format!("{address} can't be listened on: {error}; choose another port with --port N"))
    })?;
    let site = Site::open(listener, Content::Stored(document))?;
    output::line(format_args!("page: {}", site.address()));
    let mut interrupt = crate::live::up::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminate = crate::live::up::signal(tokio::signal::unix::SignalKind::terminate())?;
    let ends = futures_util::future::select(Box::pin(interrupt.recv()), Box::pin(terminate.recv()));
    ends.await;
    Ok(exit::DONE)
}
