//! What a configuration lists once, and its routes refer to by name.

use std::sync::Arc;

use super::invalid::Invalid;

pub(super) trait Named: Sized {
    /// The field of a configuration that lists them.
    const LIST: &'static str;
    /// The field of a route that names one.
    const REFERENCE: &'static str;
    /// The field that has the name.
    const NAME: &'static str;

    fn name(&self) -> &str;

    /// All that a configuration lists, with different names.
    fn parse_all<P>(
        listed: Vec<P>,
        parse: impl Fn(P) -> Result<Self, Invalid>,
    ) -> Result<Vec<Arc<Self>>, Invalid> {
        let mut parsed: Vec<Arc<Self>> = Vec::new();
        for (i, one) in listed.into_iter().enumerate() {
            let field = format!("{}[{i}]", Self::LIST);
            let one = parse(one).map_err(|e| e.within(&field))?;
            if parsed.iter().any(|other| other.name() == one.name()) {
                return Err(Invalid::new(Self::NAME, "is another one's, too").within(&field));
            }
            parsed.push(Arc::new(one));
        }
        Ok(parsed)
    }

    /// The one that a route names, if it names any.
    fn named(listed: &[Arc<Self>], name: &str) -> Result<Option<Arc<Self>>, Invalid> {
        if name.is_empty() {
            return Ok(None);
        }
        let found = listed.iter().find(|one| one.name() == name);
        let unknown = || Invalid::new(Self::REFERENCE, format!("{name:?} is no limit"));
        found.cloned().map(Some).ok_or_else(unknown)
    }
}
