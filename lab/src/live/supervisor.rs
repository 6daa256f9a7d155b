//! Looks after the processes of a live fleet: starts them, passes commands on, brings the dead back, ends them all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use eastfall_fabric::clock::Clock;
use eastfall_fabric::fleet::Command;
use eastfall_topology::time::Span;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{mpsc, oneshot};

use super::pipe::{FromInstance, ToInstance};

/// How long an instance may take to end by itself when told to, on the wall.
const GRACE: Duration = Duration::from_secs(2);

/// What the supervisor has to tell of an instance.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Something the instance said.
    Said(String, FromInstance),
    /// Its process has ended, and not because it was told to.
    Died { instance: String, how: String },
}

/// Where an instance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Starting,
    Up,
    Paused,
    Down,
}

/// The processes of a fleet. Clones are handles to the same ones.
#[derive(Clone)]
pub(crate) struct Supervisor(Arc<Inner>);

struct Inner {
    program: PathBuf,
    fleet_file: PathBuf,
    logs: PathBuf,
    notices: mpsc::UnboundedSender<Notice>,
    /// When time began: the wall clock's nanoseconds, and the clock that follows from it.
    begun: OnceLock<(u64, Clock)>,
    processes: Mutex<BTreeMap<String, Process>>,
    /// What has been told to all since the start, for those who come back; a fault that has ended is no longer there.
    told: Mutex<Vec<Command>>,
    pending: Mutex<BTreeMap<u64, oneshot::Sender<Result<(), String>>>>,
    next_number: AtomicU64,
    ending: AtomicBool,
}

struct Process {
    restart_delay: Span,
    standing: Standing,
    pid: Option<Pid>,
    to: Option<mpsc::UnboundedSender<String>>,
    /// Kept down on purpose: not to be brought back until it is started by name.
    held_down: bool,
}

impl Supervisor {
    /// A supervisor of these instances, none of which runs yet.
    pub(crate) fn new(
        fleet_file: &Path,
        logs: &Path,
        instances: impl IntoIterator<Item = (String, Span)>,
        notices: mpsc::UnboundedSender<Notice>,
    ) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("the program's own file: {error}"))?;
        std::fs::create_dir_all(logs).map_err(|error| format!("{}: {error}", logs.display()))?;
        let process = |restart_delay| Process {
            restart_delay,
            standing: Standing::Down,
            pid: None,
            to: None,
            held_down: false,
        };
        let processes = instances.into_iter().map(|(name, delay)| (name, process(delay))).collect();
        Ok(Supervisor(Arc::new(Inner {
            program,
            fleet_file: fleet_file.to_owned(),
            logs: logs.to_owned(),
            notices,
            begun: OnceLock::new(),
            processes: Mutex::new(processes),
            told: Mutex::default(),
            pending: Mutex::default(),
            next_number: AtomicU64::new(0),
            ending: AtomicBool::new(false),
        })))
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        lock(&self.0.processes)
    }

    fn next_number(&self) -> u64 {
        self.0.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// The names of all instances.
    pub(crate) fn instances(&self) -> Vec<String> {
        self.processes().keys().cloned().collect()
    }

    /// Where an instance stands, and its process.
    pub(crate) fn standing(&self, instance: &str) -> Option<(Standing, Option<i32>)> {
        let processes = self.processes();
        let process = processes.get(instance)?;
        Some((process.standing, process.pid.map(|pid| pid.as_raw_nonzero().get())))
    }

    /// Notes that an instance serves now.
    pub(crate) fn note_started(&self, instance: &str) {
        if let Some(process) = self.processes().get_mut(instance) {
            process.standing = Standing::Up;
        }
    }

    /// Starts an instance's process; nothing happens if it has one.
    pub(crate) fn start(&self, instance: &str) -> Result<(), String> {
        let mut processes = self.processes();
        let process =
            processes.get_mut(instance).ok_or_else(|| format!("there is no instance {instance}"))?;
        process.held_down = false;
        if process.pid.is_some() {
            return Ok(());
        }
        let log = self.0.logs.join(format!("{instance}.log"));
        let log_file = std::fs::OpenOptions::new().create(true).append(true).open(&log);
        let log_file = log_file.map_err(|error| format!("{}: {error}", log.display()))?;
        let mut child = tokio::process::Command::new(&self.0.program)
            .args(["serve", "--instance", instance, "--fleet"])
            .arg(&self.0.fleet_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            // Ctrl-C on the terminal is for the supervisor; it tells the instances.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{instance} can't be started: {error}"))?;
        process.standing = Standing::Starting;
        process.pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (to, lines) = mpsc::unbounded_channel();
        process.to = Some(to);
        if let Some((origin, _)) = self.0.begun.get() {
            tell(process, &ToInstance::Begin { origin: *origin });
            // Whoever comes back finds the settings and the faults as they are now, not as they were.
            for command in lock(&self.0.told).iter() {
                tell(process, &ToInstance::Command { number: self.next_number(), command: command.clone() });
            }
        }
        drop(processes);
        if let Some(stdin) = child.stdin.take() {
            detach(write_lines(stdin, lines));
        }
        detach(self.clone().follow(instance.to_owned(), child));
        Ok(())
    }

    /// Lets time begin for all.
    pub(crate) fn begin(&self, origin: u64, clock: Clock) {
        if self.0.begun.set((origin, clock)).is_ok() {
            for process in self.processes().values_mut() {
                tell(process, &ToInstance::Begin { origin });
            }
        }
    }

    /// Kills an instance with SIGKILL; it stays down until it is started by name.
    pub(crate) fn kill(&self, instance: &str) -> bool {
        let mut processes = self.processes();
        let Some(process) = processes.get_mut(instance) else { return false };
        process.held_down = true;
        signal(process, Signal::KILL)
    }

    /// Stops an instance's process with SIGSTOP.
    pub(crate) fn pause(&self, instance: &str) -> bool {
        self.mark(instance, Signal::STOP, Standing::Paused)
    }

    /// Lets it go on with SIGCONT.
    pub(crate) fn resume(&self, instance: &str) -> bool {
        self.mark(instance, Signal::CONT, Standing::Up)
    }

    fn mark(&self, instance: &str, with: Signal, standing: Standing) -> bool {
        let mut processes = self.processes();
        let Some(process) = processes.get_mut(instance) else { return false };
        let reached = signal(process, with);
        if reached {
            process.standing = standing;
        }
        reached
    }

    /// Tells one instance, or all that run, and waits until it is in force there.
    pub(crate) async fn command(&self, to: Option<&str>, command: &Command) -> Result<usize, String> {
        if to.is_none() {
            self.remember(command);
        }
        let mut answers = Vec::new();
        for (name, process) in self.processes().iter_mut().filter(|(name, _)| to.is_none_or(|to| to == *name))
        {
            if process.to.is_none() {
                continue;
            }
            let (done, wait) = oneshot::channel();
            let number = self.next_number();
            lock(&self.0.pending).insert(number, done);
            tell(process, &ToInstance::Command { number, command: command.clone() });
            // A paused process hears it when it goes on, and one that starts when it has started; neither answers now.
            if process.standing != Standing::Up {
                continue;
            }
            answers.push((name.clone(), wait));
        }
        let count = answers.len();
        for (name, wait) in answers {
            match wall_timeout(GRACE, wait).await {
                Ok(Ok(Err(reason))) => return Err(format!("{name}: {reason}")),
                // Whoever dies before it answers is told again when it comes back.
                Ok(_) => {}
                Err(_) => {
                    tracing::warn!(instance = name, "told, but it has not yet said that it is in force")
                }
            }
        }
        Ok(count)
    }

    fn remember(&self, command: &Command) {
        let mut told = lock(&self.0.told);
        match command {
            Command::Stop => {}
            Command::RemoveFault { id } => {
                told.retain(|old| !matches!(old, Command::AddFault { id: added, .. } if added == id));
            }
            Command::Set { .. } | Command::AddFault { .. } => told.push(command.clone()),
        }
    }

    /// Notes that a command is in force, or is not.
    pub(crate) fn note_done(&self, number: u64, result: Result<(), String>) {
        if let Some(done) = lock(&self.0.pending).remove(&number) {
            let _ = done.send(result);
        }
    }

    /// Ends all processes: first by word, then by force. None is left when this returns.
    pub(crate) async fn end(&self) {
        self.0.ending.store(true, Ordering::Relaxed);
        for process in self.processes().values_mut() {
            // A paused process can't hear.
            signal(process, Signal::CONT);
            tell(process, &ToInstance::Command { number: self.next_number(), command: Command::Stop });
        }
        let gone = async {
            while self.processes().values().any(|process| process.pid.is_some()) {
                wall_sleep(Duration::from_millis(10)).await;
            }
        };
        if wall_timeout(GRACE, gone).await.is_err() {
            for process in self.processes().values_mut() {
                signal(process, Signal::KILL);
            }
            let gone = async {
                while self.processes().values().any(|process| process.pid.is_some()) {
                    wall_sleep(Duration::from_millis(10)).await;
                }
            };
            // A killed process is gone within moments; not waiting for ever is for a machine in trouble.
            let _ = wall_timeout(GRACE, gone).await;
        }
    }

    /// Listens to an instance until its process ends, and brings it back.
    async fn follow(self, instance: String, mut child: Child) {
        if let Some(out) = child.stdout.take() {
            let mut lines = BufReader::new(out).lines();
            // A line cut short by a kill is no message.
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(message) => {
                        let _ = self.0.notices.send(Notice::Said(instance.clone(), message));
                    }
                    Err(error) => tracing::debug!(instance, line, %error, "not a message"),
                }
            }
        }
        let how = match child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let (held_down, delay) = {
            let mut processes = self.processes();
            let Some(process) = processes.get_mut(&instance) else { return };
            process.standing = Standing::Down;
            process.pid = None;
            process.to = None;
            (process.held_down, process.restart_delay)
        };
        if self.0.ending.load(Ordering::Relaxed) {
            return;
        }
        let _ = self.0.notices.send(Notice::Died { instance: instance.clone(), how });
        let Some((_, clock)) = self.0.begun.get() else { return };
        if held_down {
            return;
        }
        clock.sleep(delay).await;
        let still_wanted = self.processes().get(&instance).is_some_and(|process| !process.held_down);
        if still_wanted
            && !self.0.ending.load(Ordering::Relaxed)
            && let Err(error) = self.start(&instance)
        {
            tracing::error!(instance, error, "can't be brought back");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(process: &Process, message: &ToInstance) -> bool {
    let line = serde_json::to_string(message).unwrap_or_default();
    process.to.as_ref().is_some_and(|to| to.send(line).is_ok())
}

fn signal(process: &Process, signal: Signal) -> bool {
    process.pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

async fn write_lines(mut stdin: ChildStdin, mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(line) = lines.recv().await {
        if stdin.write_all(format!("{line}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

fn detach(task: impl Future<Output = ()> + Send + 'static) {
    drop(detach_with_handle(task));
}

/// Waits for a span of the wall's time.
#[expect(clippy::disallowed_methods, reason = "the supervisor lives on the wall's time, outside the region")]
pub(crate) async fn wall_sleep(span: Duration) {
    tokio::time::sleep(span).await;
}

/// Starts a task of the lab's own.
#[expect(clippy::disallowed_methods, reason = "the supervisor lives on the wall's time, outside the region")]
pub(crate) fn detach_with_handle<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

/// Waits for a future, but no longer than a span of the wall's time.
///
/// # Errors
/// When the time was up first.
#[expect(clippy::disallowed_methods, reason = "the supervisor lives on the wall's time, outside the region")]
pub(crate) async fn wall_timeout<F: Future>(
    span: Duration,
    future: F,
) -> Result<F::Output, tokio::time::error::Elapsed> {
    tokio::time::timeout(span, future).await
}
