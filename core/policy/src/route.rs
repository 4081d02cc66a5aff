//! Which rule decides a request, by the attributes of its message.

mod alternation;
mod explain;
mod index;
mod matcher;
mod shadow;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use smallvec::SmallVec;
use thiserror::Error;

pub use explain::{Explanation, Failure, Verdict};
use index::Index;
use matcher::Matcher;
pub use shadow::Shadowed;

/// A condition on one attribute of the message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttributeMatch {
    pub name: String,
    pub condition: Condition,
}

/// What an attribute's value must be; an absent attribute satisfies none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    Exact(String),
    Prefix(String),
    /// A prefix whose ASCII letters may be of either case.
    PrefixIgnoreCase(String),
    /// A regular expression that matches the whole value. One that is a mere alternation of texts
    /// is looked up as a set, see [`Self::one_of`].
    Regex(String),
    Present,
}

impl Condition {
    /// Whether one of these values satisfies it; if it does not compile, none does.
    pub fn holds_for_any<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> bool {
        let mut values = values.into_iter();
        Matcher::new(self).is_ok_and(|matcher| values.any(|v| matcher.holds(v.as_bytes())))
    }

    /// The values that satisfy it, where it is a set of them; in order.
    pub fn values(&self) -> Option<Vec<String>> {
        let Self::Regex(pattern) = self else {
            return None;
        };
        let values = alternation::values(pattern)?.into_iter();
        let mut values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(&value).into_owned())
            .collect();
        values.sort_unstable();
        Some(values)
    }

    /// One of these values. They are looked up, so that their number has no limit.
    pub fn one_of<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Regex(alternation::pattern(values))
    }
}

/// A condition that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("attribute `{attribute}`: {reason}")]
pub struct RouteTableError {
    /// Index of the rule.
    pub rule: usize,
    pub attribute: String,
    pub reason: RegexRefusal,
}

/// What is wrong with a regular expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegexRefusal {
    /// Older manifests mean presence by it.
    #[error("`*` is not a regular expression; to match any value, match on presence")]
    Star,
    #[error("invalid regular expression `{pattern}`: {message}")]
    Invalid { pattern: String, message: String },
    #[error("regular expression `{pattern}` compiles to more than {limit} bytes")]
    TooLarge { pattern: String, limit: usize },
}

/// Checks one condition on its own, as [`RouteTable::new`] would.
pub fn validate(condition: &Condition) -> Result<(), RegexRefusal> {
    Matcher::new(condition).map(drop)
}

/// Ordered rules, compiled: the first that matches decides.
///
/// Exact conditions are looked up together, so that a thousand routes on service and method cost
/// what one does; only rules whose exact conditions hold have their prefixes and regular
/// expressions tried.
#[derive(Debug)]
pub struct RouteTable<T> {
    attributes: Vec<String>,
    rules: Vec<Vec<AttributeMatch>>,
    targets: Vec<T>,
    index: Index,
}

impl<T> RouteTable<T> {
    /// Compiles rules in the order in which they are tried: each is the conditions that all have
    /// to hold (none means every request) and what it leads to.
    pub fn new(
        rules: impl IntoIterator<Item = (Vec<AttributeMatch>, T)>,
    ) -> Result<Self, RouteTableError> {
        let (rules, targets): (Vec<_>, Vec<_>) = rules.into_iter().unzip();
        let attributes = attributes_of(&rules);
        let index = Index::new(&rules, &attributes)?;
        Ok(Self {
            attributes,
            rules,
            targets,
            index,
        })
    }

    /// The attributes that some rule names, each once.
    pub fn attributes(&self) -> &[String] {
        &self.attributes
    }

    /// What the rules lead to, in their order.
    pub fn targets(&self) -> &[T] {
        &self.targets
    }

    /// The first rule that matches, with its position.
    ///
    /// `lookup` gives the value of the attribute at an index of [`Self::attributes`], `None` if the
    /// message has none. It is called at most once for each attribute, and only for those on which
    /// the decision hangs.
    pub fn select<'m>(
        &self,
        lookup: impl FnMut(usize) -> Option<Cow<'m, [u8]>>,
    ) -> Option<(usize, &T)> {
        if self.rules.first().is_some_and(Vec::is_empty) {
            return Some((0, self.targets.first()?));
        }
        let mut values = Values::new(lookup);
        let rule = self.index.first_match(&mut values)?;
        Some((rule, self.targets.get(rule)?))
    }
}

/// The attributes in the order in which they are best looked at: those whose values are listed
/// most often first, since these leave the fewest rules.
fn attributes_of(rules: &[Vec<AttributeMatch>]) -> Vec<String> {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for matching in rules.iter().flatten() {
        let exact = usize::from(index::values(&matching.condition).is_some());
        match counted.iter_mut().find(|(name, _)| *name == matching.name) {
            Some((_, count)) => *count += exact,
            None => counted.push((&matching.name, exact)),
        }
    }
    // Stable: equally frequent ones stay in the order of their first use.
    counted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    counted
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The values of one message, each fetched when it is first asked for.
struct Values<'m, F> {
    lookup: F,
    slots: SmallVec<[Slot<'m>; 8]>,
}

/// What is known of one attribute: nothing yet, or its value if the message has one.
type Slot<'m> = Option<Option<Cow<'m, [u8]>>>;

impl<'m, F: FnMut(usize) -> Option<Cow<'m, [u8]>>> Values<'m, F> {
    fn new(lookup: F) -> Self {
        Self {
            lookup,
            slots: SmallVec::new(),
        }
    }

    fn value(&mut self, attribute: usize) -> Option<&[u8]> {
        let Self { lookup, slots } = self;
        while slots.len() <= attribute {
            slots.push(None);
        }
        slots[attribute]
            .get_or_insert_with(|| lookup(attribute))
            .as_deref()
    }
}
