//! API servers, which tests use one after the other: to start one, and to install definitions, takes longer than most
//! tests do.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::Programs;
use super::instance::Instance;
use super::store::Contents;
use crate::wait::until;

/// An API server of a test's own, as long as it has it. The next one to have it finds nothing of what there was.
pub struct ApiServer(Option<Kept>);

struct Kept {
    instance: Instance,
    /// Paths of the kinds that nobody need define.
    built_in: BTreeSet<String>,
    empty: Contents,
    /// Once somebody wanted it.
    defined: Option<Contents>,
}

/// Those that no test has.
static IDLE: Mutex<Vec<Kept>> = Mutex::new(vec![]);

impl ApiServer {
    /// One without any definition. None where it is not installed, see [`Programs::find`].
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let mut kept = Kept::take()?;
        kept.instance.store.restore(&mut kept.empty);
        kept.settles();
        Some(Self(Some(kept)))
    }

    /// One with our own definitions and Istio's. None where it is not installed, see [`Programs::find`].
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn with_definitions() -> Option<Self> {
        let mut kept = Kept::take()?;
        let instance = &kept.instance;
        match &mut kept.defined {
            Some(defined) => instance.store.restore(defined),
            None => {
                instance.store.restore(&mut kept.empty);
                instance.install_crds(&Programs::own_crds());
                instance.install_crds(&instance.programs().istio_crds());
            }
        }
        kept.settles();
        if kept.defined.is_none() {
            kept.defined = Some(kept.instance.store.contents());
        }
        Some(Self(Some(kept)))
    }
}

impl Kept {
    fn take() -> Option<Self> {
        let programs = Programs::find()?;
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Some(idle.unwrap_or_else(|| {
            let instance = Instance::start(&programs);
            Self {
                built_in: instance.requests.told(),
                empty: instance.store.contents(),
                defined: None,
                instance,
            }
        }))
    }

    /// Its store was written to behind its back. It watches it, and tells whoever watches it.
    fn settles(&self) {
        let requests = &self.instance.requests;
        until("it serves what is defined, and nothing else", || {
            let defined = requests.defined();
            let listed = |path: &String| requests.try_get(&format!("{path}?limit=1")).is_some();
            let is_settled = requests.told() == &self.built_in | &defined;
            (is_settled && defined.iter().all(listed)).then_some(())
        });
        self.instance.forget();
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // What is there may be of use to whoever looks into a failure, and of no use to another test.
        let kept = self.0.take().filter(|it| it.instance.runs());
        if let Some(kept) = kept.filter(|_| !thread::panicking()) {
            IDLE.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(kept);
        }
    }
}

impl Deref for ApiServer {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self
            .0
            .as_ref()
            .expect("it is there until it is dropped")
            .instance
    }
}

impl DerefMut for ApiServer {
    fn deref_mut(&mut self) -> &mut Instance {
        &mut self
            .0
            .as_mut()
            .expect("it is there until it is dropped")
            .instance
    }
}
