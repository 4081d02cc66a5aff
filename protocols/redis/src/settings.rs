//! What a service or a cluster can say of its Redis.

use meltemi_codec::{Role, SettingRefused};

use crate::session::Credentials;

/// The settings of a service, followed by those of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// What clients have to show (`username`, `password`). Where it is set, `AUTH` ends here.
    pub(crate) asked: Option<Credentials>,
    /// What servers are shown (`upstreamUsername`, `upstreamPassword`), unless a client brings its
    /// own.
    pub(crate) shown: Option<Credentials>,
    /// Which nodes are asked to read (`readPolicy`).
    pub(crate) reads: Role,
    /// Whether keys with one tag have one hash (`hashTags`).
    pub(crate) tags: bool,
    /// Whether `-MOVED` and `-ASK` are followed (`enableRedirection`); in a cluster they always
    /// are.
    pub(crate) redirects: bool,
    /// What the endpoints are (`mode`).
    pub(crate) mode: Mode,
}

/// What the endpoints are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Not said.
    #[default]
    Unknown,
    /// Servers that know nothing of each other's keys.
    Proxy,
    /// Nodes of a Redis Cluster.
    Cluster,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            asked: None,
            shown: None,
            reads: Role::Primary,
            tags: true,
            redirects: false,
            mode: Mode::Unknown,
        }
    }
}

impl Settings {
    /// Reads all settings; a later one replaces an earlier one of its name.
    pub(crate) fn read(settings: &[(&str, &str)]) -> Result<Self, SettingRefused> {
        let mut read = Self::default();
        let mut asked = Pair::default();
        let mut shown = Pair::default();
        for (name, value) in settings {
            let refused = |reason| SettingRefused {
                name: (*name).into(),
                reason,
            };
            match *name {
                "username" => asked.user = Some(value),
                "password" => asked.password = Some(value),
                "upstreamUsername" => shown.user = Some(value),
                "upstreamPassword" => shown.password = Some(value),
                "readPolicy" => read.reads = policy(value).map_err(refused)?,
                "hashTags" => read.tags = truth(value).map_err(refused)?,
                "enableRedirection" => read.redirects = truth(value).map_err(refused)?,
                "mode" => read.mode = mode(value).map_err(refused)?,
                _ => return Err(refused(NAMES)),
            }
        }
        read.asked = asked.credentials("username")?;
        read.shown = shown.credentials("upstreamUsername")?;
        Ok(read)
    }

    /// Whether an answer that names another node is followed.
    pub(crate) fn follows(&self) -> bool {
        self.redirects || self.mode == Mode::Cluster
    }
}

const NAMES: &str = "no such setting; there are username, password, upstreamUsername, \
                     upstreamPassword, readPolicy, hashTags, enableRedirection, mode";

#[derive(Default)]
struct Pair<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
}

impl Pair<'_> {
    fn credentials(self, user: &'static str) -> Result<Option<Credentials>, SettingRefused> {
        match self.password {
            Some(password) => Ok(Some(Credentials {
                user: self.user.map(|user| user.as_bytes().into()),
                password: password.as_bytes().into(),
            })),
            None if self.user.is_some() => Err(SettingRefused {
                name: user.into(),
                reason: "a user name without a password; give the password too",
            }),
            None => Ok(None),
        }
    }
}

fn policy(value: &str) -> Result<Role, &'static str> {
    Ok(match value {
        "MASTER" => Role::Primary,
        "PREFER_MASTER" => Role::PreferPrimary,
        "REPLICA" => Role::Replica,
        "PREFER_REPLICA" => Role::PreferReplica,
        "ANY" => Role::Any,
        _ => return Err("one of MASTER, PREFER_MASTER, REPLICA, PREFER_REPLICA, ANY"),
    })
}

fn truth(value: &str) -> Result<bool, &'static str> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false"),
    }
}

fn mode(value: &str) -> Result<Mode, &'static str> {
    match value {
        "PROXY" => Ok(Mode::Proxy),
        "CLUSTER" => Ok(Mode::Cluster),
        _ => Err("PROXY or CLUSTER"),
    }
}
