//! `meltemi run`, as a person would start it.

use std::{
    ffi::OsString,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{LOCALITY, manifests::SERVER};

/// How long it may take to open its server, and to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many lines of its log are shown when it fails.
const LAST_LINES: usize = 12;

/// The running proxy; it is killed if this is dropped before [`Proxy::end`].
pub(super) struct Proxy {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
    /// The command line, for the person.
    pub(super) command: String,
    /// Where consumers find it.
    pub(super) address: SocketAddr,
    /// Where its admin pages are.
    pub(super) admin: SocketAddr,
}

impl Proxy {
    /// Starts it over a directory of manifests; its logs go to another one.
    pub(super) async fn start(manifests: &Path, logs: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program again")?;
        let log = logs.join("meltemi.log");
        let arguments: Vec<OsString> = vec![
            "run".into(),
            "-f".into(),
            manifests.into(),
            "--locality".into(),
            LOCALITY.into(),
            "--admin".into(),
            "127.0.0.1:0".into(),
            "--access-log".into(),
            logs.join("access.log").into(),
        ];
        let shown: Vec<_> = arguments
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        let command = format!("meltemi {}", shown.join(" "));
        let mut child = Command::new(program)
            .args(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).with_context(|| log.display().to_string())?)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start `meltemi run`")?;
        let stdout = child.stdout.take().context("its output is piped")?;
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut proxy = Self {
            child,
            lines: BufReader::new(stdout).lines(),
            log,
            command,
            address: unknown,
            admin: unknown,
        };
        proxy.admin = proxy.address_after("admin ").await?;
        proxy.address = proxy.address_after(&format!("listening {SERVER} ")).await?;
        Ok(proxy)
    }

    /// The address in the next line that begins so.
    async fn address_after(&mut self, start: &str) -> anyhow::Result<SocketAddr> {
        let found = async {
            while let Some(line) = self.lines.next_line().await? {
                if let Some(address) = line.strip_prefix(start) {
                    return Ok(Some(address.trim().parse()?));
                }
            }
            anyhow::Ok(None)
        };
        match timeout(PATIENCE, found).await {
            Ok(Ok(Some(address))) => Ok(address),
            Ok(Ok(None)) => Err(self.failure("ended")),
            Ok(Err(error)) => Err(error.context(format!("`{start}` of {}", self.command))),
            Err(_) => Err(self.failure("did not open its server")),
        }
    }

    /// Fails if it has ended on its own.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.failure(&format!("ended with {status}"))),
        }
    }

    /// Asks it to drain, and waits for its end.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        let Some(pid) = self.child.id() else {
            return self.check();
        };
        let asked = Command::new("kill").arg(pid.to_string()).status().await;
        if !asked.is_ok_and(|status| status.success()) {
            bail!("cannot send SIGTERM to process {pid}");
        }
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => Err(self.failure(&format!("ended with {:?}", status?))),
            Err(_) => Err(self.failure("did not end after SIGTERM")),
        }
    }

    fn failure(&self, what: &str) -> anyhow::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..);
        anyhow!(
            "`{}` {what}; the end of {}:\n{}",
            self.command,
            self.log.display(),
            last.unwrap_or_default().join("\n")
        )
    }
}
