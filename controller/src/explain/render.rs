//! An explanation as text.

use std::fmt;

use super::{Explanation, RouteObject, RouteRef};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "service   {}", self.service)?;
        writeln!(f, "server    {} ({})", self.server, self.protocol)?;
        for (i, attribute) in self.attributes.iter().enumerate() {
            let label = if i == 0 { "request" } else { "" };
            let origin = if attribute.from_annotation {
                "  (the service's annotation)"
            } else {
                ""
            };
            writeln!(
                f,
                "{label:10}{}={}{origin}",
                attribute.name, attribute.value
            )?;
        }
        if let Some(source) = &self.source {
            writeln!(f, "source    {source}")?;
        }
        if let Some(principal) = &self.principal {
            writeln!(f, "principal {principal}")?;
        }
        let locality = if self.locality.is_empty() {
            "unknown"
        } else {
            &self.locality
        };
        writeln!(f, "locality  {locality}")?;
        if let Some(access) = &self.access {
            writeln!(f, "\n{access}")?;
        }
        for passed in &self.passed_over {
            writeln!(f, "\nnot       {}", passed.route)?;
            for because in &passed.because {
                writeln!(f, "          {because}")?;
            }
        }
        match &self.route {
            None => {
                write!(f, "\nno route  the client is told so")?;
                let mut note = self.note.iter();
                note.try_for_each(|note| write!(f, "\n          {note}"))
            }
            Some(route) => {
                write!(f, "\ntakes     {route}")?;
                if let Some(alternative) = self.alternative {
                    write!(f, "\n          by its alternative {alternative}")?;
                }
                write!(f, "{}", self.treatment)?;
                self.destinations
                    .iter()
                    .try_for_each(|d| write!(f, "\n\n{d}"))
            }
        }
    }
}

impl fmt::Display for RouteRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            RouteObject::MetaRouter(name) => write!(f, "MetaRouter {name}")?,
            RouteObject::RedisService(name) => write!(f, "RedisService {name}")?,
        }
        if let Some(number) = self.number {
            write!(f, ", route {number}")?;
        }
        if !self.name.is_empty() {
            write!(f, " `{}`", self.name)?;
        }
        write!(f, " ({}:{})", self.file, self.line)
    }
}
