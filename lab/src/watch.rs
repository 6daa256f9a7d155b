//! `eastfall watch`: the running fleet in a terminal, for those who are there over ssh.
//!
//! It asks the control endpoint what `eastfall status` asks, every second of the wall, and draws that ([`view`]). It
//! changes nothing: what operators do they do with `set` and `inject`, in another terminal.

mod view;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use eastfall_proto::control::{StatusRequest, StatusResponse};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::runtime::Runtime;

use self::view::{Pressed, View};
use crate::cli;
use crate::control::client::{Client, connect};
use crate::control::registry::{FleetEntry, find};
use crate::failure::Failure;
use crate::live::supervisor::wall_timeout;

/// How often the fleet is asked, on the wall.
const EVERY: Duration = Duration::from_secs(1);

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Shows the fleet until somebody has seen enough.
///
/// # Errors
/// If there is no terminal, or no fleet.
pub fn watch(arguments: &cli::Watch) -> Result<(), Failure> {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Err(Failure(
            "watch draws on a terminal, and this is none; use `eastfall status`, or `eastfall status --json` in a \
             script"
                .to_owned(),
        ));
    }
    let fleet = find(arguments.which.fleet.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure(format!("the runtime can't be built: {error}")))?;
    let mut source = Source { runtime, fleet, client: None };
    // What can't be reached at all is said in the shell, not on a screen that is gone in a moment.
    let first = source.ask()?;
    let mut terminal =
        ratatui::try_init().map_err(|error| Failure(format!("the terminal can't be drawn on: {error}")))?;
    let shown = show(&mut terminal, &mut source, first);
    ratatui::restore();
    shown.map_err(|error| Failure(format!("the terminal: {error}")))
}

#[expect(clippy::disallowed_methods, reason = "people look at it on the wall's time")]
fn show(terminal: &mut DefaultTerminal, source: &mut Source, first: StatusResponse) -> std::io::Result<()> {
    let mut view = View::default();
    view.take(Ok(first));
    let mut asked = Instant::now();
    loop {
        terminal.draw(|frame| view.draw(frame))?;
        if event::poll(EVERY.saturating_sub(asked.elapsed()))? {
            if let Event::Key(key) = event::read()?
                && view.press(key_of(&key)) == Pressed::Quit
            {
                return Ok(());
            }
        } else {
            asked = Instant::now();
            if !view.is_paused() {
                view.take(source.ask());
            }
        }
    }
}

fn key_of(key: &KeyEvent) -> Option<char> {
    match key.code {
        _ if key.kind != KeyEventKind::Press => None,
        // The terminal hands over keys as they are, so this one does not interrupt by itself.
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some('q'),
        KeyCode::Char(letter) => Some(letter.to_ascii_lowercase()),
        KeyCode::Esc => Some('q'),
        _ => None,
    }
}

/// Where statuses come from.
struct Source {
    runtime: Runtime,
    fleet: FleetEntry,
    client: Option<Client>,
}

impl Source {
    /// Asks the fleet; a connection that broke is made anew the next time.
    fn ask(&mut self) -> Result<StatusResponse, Failure> {
        let known = self.client.take();
        let fleet = &self.fleet;
        let asking = async {
            let mut client = match known {
                Some(client) => client,
                None => connect(fleet).await?,
            };
            let answer = client.status(StatusRequest {}).await;
            let status = answer.map_err(|status| Failure(status.message().to_owned()))?.into_inner();
            Ok::<_, Failure>((client, status))
        };
        let answered = self.runtime.block_on(async { wall_timeout(PATIENCE, asking).await });
        let slow = |_| Failure(format!("no answer within {} s", PATIENCE.as_secs()));
        let (client, status) = answered.map_err(slow)??;
        self.client = Some(client);
        Ok(status)
    }
}
