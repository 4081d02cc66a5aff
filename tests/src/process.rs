//! A child process whose output is kept, and which never outlives its test.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::wait::until;

/// Killed with its whole process group when dropped. Standard output is kept line by line; standard error goes to
/// a file that a failing wait shows.
pub struct Process {
    name: String,
    pid: u32,
    child: Mutex<Child>,
    stdin: Option<ChildStdin>,
    output: Arc<Mutex<Output>>,
    errors: tempfile::NamedTempFile,
}

#[derive(Default)]
struct Output {
    lines: Vec<String>,
    ended: bool,
}

impl Process {
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        Self::spawn_with_stderr(name, command, None)
    }

    /// [`Self::spawn`], but the file of standard error lies in this directory.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub(crate) fn spawn_in(directory: &Path, name: &str, command: &mut Command) -> Self {
        let errors = tempfile::NamedTempFile::new_in(directory);
        Self::start(
            name,
            command,
            errors.expect("a file for standard error"),
            None,
        )
    }

    /// [`Self::spawn`], but standard error goes where the caller wants it, and is not shown.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn_with_stderr(name: &str, command: &mut Command, stderr: Option<Stdio>) -> Self {
        let errors = tempfile::NamedTempFile::new().expect("a temporary file for standard error");
        Self::start(name, command, errors, stderr)
    }

    fn start(
        name: &str,
        command: &mut Command,
        errors: tempfile::NamedTempFile,
        stderr: Option<Stdio>,
    ) -> Self {
        let file: File = errors.reopen().expect("the file that was just made");
        let stderr = stderr.unwrap_or_else(|| file.into());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let output = Arc::new(Mutex::new(Output::default()));
        let stdout = child.stdout.take().expect("standard output is piped");
        let shared = Arc::clone(&output);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lock(&shared).lines.push(line);
            }
            lock(&shared).ended = true;
        });
        Self {
            name: name.to_owned(),
            pid: child.id(),
            stdin: child.stdin.take(),
            child: Mutex::new(child),
            output,
            errors,
        }
    }

    /// The first value that `find` makes of a line at or after `from`, with the number of the line after it.
    ///
    /// # Panics
    /// When the output ends without one, or none comes in time; with all that the process said.
    pub fn line<T>(&self, from: usize, what: &str, find: impl Fn(&str) -> Option<T>) -> (T, usize) {
        until(&format!("{} says {what}", self.name), || {
            let output = lock(&self.output);
            let mut rest = output.lines.iter().enumerate().skip(from);
            let found = rest.find_map(|(number, line)| find(line).map(|value| (value, number + 1)));
            let hopeless = found.is_none() && output.ended;
            drop(output);
            assert!(
                !hopeless,
                "{} ended without saying {what}\n{}",
                self.name,
                self.said()
            );
            found
        })
    }

    /// Whether there will be no more output.
    pub fn has_ended(&self) -> bool {
        lock(&self.output).ended
    }

    /// All lines of standard output so far.
    pub fn lines(&self) -> Vec<String> {
        lock(&self.output).lines.clone()
    }

    /// Standard output and standard error, for a message.
    pub fn said(&self) -> String {
        let errors = std::fs::read_to_string(self.errors.path()).unwrap_or_default();
        format!("stdout:\n{}\nstderr:\n{errors}", self.lines().join("\n"))
    }

    /// Writes a line to standard input.
    pub fn tell(&self, line: &str) {
        let mut stdin = self
            .stdin
            .as_ref()
            .expect("standard input is open until the end");
        writeln!(stdin, "{line}").unwrap_or_else(|error| {
            panic!("{} does not listen: {error}\n{}", self.name, self.said())
        });
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, signal: &str) {
        let target = self.pid.to_string();
        let status = Command::new("kill").args(["-s", signal, &target]).status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "{} takes no {signal}",
            self.name
        );
        // A thread that was running goes on until it is told.
        if signal == "STOP" {
            until(&format!("{} stops", self.name), || {
                is_stopped(&target).then_some(())
            });
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        let status = until(&what, || self.status());
        until(&what, || lock(&self.output).ended.then_some(()));
        status
    }

    /// How it ended; none while it runs.
    pub fn status(&self) -> Option<ExitStatus> {
        lock(&self.child).try_wait().ok().flatten()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = format!("-{}", self.pid);
        let _ = Command::new("kill")
            .args(["-s", "KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = lock(&self.child).wait();
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether no thread of a process runs, as `/proc` tells.
fn is_stopped(process: &str) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else {
        return false;
    };
    let stats = threads.flatten().map(|thread| thread.path().join("stat"));
    stats.map(std::fs::read_to_string).all(|stat| {
        // The name, which stands before the state, may hold anything.
        let stat = stat.unwrap_or_default();
        let state = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.trim().chars().next());
        state == Some('T')
    })
}
