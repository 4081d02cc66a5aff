//! Servers that outlive a test, and never the process that runs the tests.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::process::Process;

/// What nobody drops, as what is in a `static`, ends when its standard input does, which is when our process ends,
/// however it does. The one that keeps what is in the directory takes that along.
const SCRIPT: &str = r#"
exec 3<&0
{ cat <&3; kill -s KILL $$; if [ -n "$1" ]; then sleep 1; rm -rf "$1"; fi; } >/dev/null 2>&1 &
shift
exec "$@" 3<&- </dev/null
"#;

/// A command that runs a program so; `gone` is the directory that goes with it.
pub(super) fn command(program: &Path, gone: Option<&Path>) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", SCRIPT, "sh"])
        .arg(gone.map_or(OsStr::new(""), Path::as_os_str))
        .arg(program);
    command
}

/// Its standard error is kept where its other files are.
pub(super) fn spawn(name: &str, command: &mut Command, directory: &Path) -> Process {
    Process::spawn_in(directory, name, command)
}
