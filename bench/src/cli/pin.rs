//! The CPU that a run is bound to.

/// As `--pin` says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pin {
    Last,
    Off,
    Cpu(usize),
}

impl Pin {
    pub(super) fn cpu(self) -> Option<usize> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        match self {
            Self::Last => Some(cpus - 1),
            Self::Cpu(cpu) => Some(cpu),
            Self::Off => None,
        }
    }
}

pub(super) fn pin(text: &str) -> Result<Pin, String> {
    match text {
        "last" => Ok(Pin::Last),
        "off" => Ok(Pin::Off),
        cpu => cpu
            .parse()
            .map(Pin::Cpu)
            .map_err(|_| "expected a CPU number, last or off".to_owned()),
    }
}
