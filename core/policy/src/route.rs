//! Which rule decides a request, by the attributes of its message and of its connection.

mod alternation;
mod automaton;
mod condition;
mod explain;
mod index;
mod leaf;
mod matcher;
mod namespace;
mod re2;
mod shadow;
#[cfg(test)]
mod tests;
mod values;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use thiserror::Error;

pub use automaton::{Steps, Undecided};
pub use condition::{Attribute, AttributeMatch, Condition, Text};
pub use explain::{Explanation, Failure, Taken, Verdict};
use index::Index;
use matcher::Matcher;
pub use namespace::proven_namespace;
pub use shadow::Shadowed;
use values::{Values, Walks};

/// Conditions that all have to hold; none holds always.
pub type Alternative = Vec<AttributeMatch>;

/// A condition that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("attribute `{attribute}`: {reason}")]
pub struct RouteTableError {
    /// Index of the rule.
    pub rule: usize,
    pub attribute: Attribute,
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

/// Checks one condition on its own. A table does not look at the size of a regular expression that it
/// searches for among others.
pub fn validate(condition: &Condition) -> Result<(), RegexRefusal> {
    match Matcher::new(condition)? {
        Matcher::Regex(pattern) => pattern.compiled().map(drop),
        _ => Ok(()),
    }
}

/// Ordered rules, compiled: the first that matches decides.
///
/// Exact conditions are looked up together, so that a thousand routes on service and method cost
/// what one does; only rules whose exact conditions hold have the rest of theirs tried, and the
/// regular expressions of several are searched for as one set.
#[derive(Debug)]
pub struct RouteTable<T> {
    rules: Arc<Rules>,
    walks: Rc<RefCell<Walks>>,
    targets: Vec<T>,
}

/// What rules ask of requests, wherever they lead.
#[derive(Debug)]
struct Rules {
    attributes: Vec<Attribute>,
    given: Vec<Vec<Alternative>>,
    /// The first rule takes every request.
    takes_all: bool,
    index: Index,
}

/// What ordered rules ask of requests, compiled: for the tables of all threads.
#[derive(Clone, Debug)]
pub struct Conditions(Arc<Rules>);

impl Conditions {
    /// # Errors
    ///
    /// As of [`RouteTable::new`].
    pub fn new(rules: Vec<Vec<Alternative>>) -> Result<Self, RouteTableError> {
        Ok(Self(Arc::new(Rules::new(rules)?)))
    }
}

impl PartialEq for Conditions {
    fn eq(&self, other: &Self) -> bool {
        self.0.given == other.0.given
    }
}

impl Eq for Conditions {}

impl Rules {
    fn new(given: Vec<Vec<Alternative>>) -> Result<Self, RouteTableError> {
        let attributes = attributes_of(&given);
        let index = Index::new(&given, &attributes)?;
        Ok(Self {
            attributes,
            takes_all: given
                .first()
                .is_some_and(|rule| rule.iter().any(Vec::is_empty)),
            given,
            index,
        })
    }
}

impl<T> RouteTable<T> {
    /// Compiles rules in the order in which they are tried: each is the alternatives of which one
    /// has to hold (none: no request is the rule's), and what it leads to.
    pub fn new(
        rules: impl IntoIterator<Item = (Vec<Alternative>, T)>,
    ) -> Result<Self, RouteTableError> {
        Self::renewed(rules, None, None)
    }

    /// The same, but what an older table has compiled is used again where both ask the same of
    /// requests, and else what was compiled for all threads: a thousand regular expressions take a good
    /// part of a second.
    pub fn renewed(
        rules: impl IntoIterator<Item = (Vec<Alternative>, T)>,
        compiled: Option<&Conditions>,
        before: Option<&Self>,
    ) -> Result<Self, RouteTableError> {
        let (given, targets): (Vec<Vec<Alternative>>, _) = rules.into_iter().unzip();
        let before = before.filter(|before| before.rules.given == given);
        let compiled = compiled.filter(|compiled| compiled.0.given == given);
        let (rules, walks) = match (before, compiled) {
            (Some(before), _) => (Arc::clone(&before.rules), Rc::clone(&before.walks)),
            (None, Some(compiled)) => (Arc::clone(&compiled.0), Rc::default()),
            (None, None) => (Arc::new(Rules::new(given)?), Rc::default()),
        };
        Ok(Self {
            rules,
            walks,
            targets,
        })
    }

    /// The attributes that some rule names, each once.
    pub fn attributes(&self) -> &[Attribute] {
        &self.rules.attributes
    }

    /// What the rules lead to, in their order.
    pub fn targets(&self) -> &[T] {
        &self.targets
    }

    /// The first rule that matches, with its position.
    ///
    /// `lookup` gives the value of the attribute at an index of [`Self::attributes`], `None` if the
    /// request has none. It is called at most once for each attribute, and only for those on which
    /// the decision hangs.
    ///
    /// # Errors
    ///
    /// Its regular expressions take more than these steps.
    pub fn select<'m>(
        &self,
        steps: &mut Steps,
        lookup: impl FnMut(usize) -> Option<Cow<'m, [u8]>>,
    ) -> Result<Option<(usize, &T)>, Undecided> {
        let rule = match self.rules.takes_all {
            true => Some(0),
            false => {
                let mut values = self.values(steps, lookup);
                self.rules.index.first_match(&mut values)?
            }
        };
        Ok(rule.and_then(|rule| Some((rule, self.targets.get(rule)?))))
    }

    fn values<'t, 'm, F>(&'t self, steps: &'t mut Steps, lookup: F) -> Values<'t, 'm, F>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        let automata = &self.rules.index.automata;
        Values::new(lookup, automata, &self.walks, steps)
    }
}

/// The attributes in the order in which they are best looked at: those whose values are listed
/// most often first, since these leave the fewest rules.
fn attributes_of(rules: &[Vec<Alternative>]) -> Vec<Attribute> {
    let mut counted: Vec<(&Attribute, usize)> = Vec::new();
    let mut places: HashMap<&Attribute, usize> = HashMap::new();
    for matching in rules.iter().flatten().flatten() {
        let place = *places.entry(&matching.attribute).or_insert_with(|| {
            counted.push((&matching.attribute, 0));
            counted.len() - 1
        });
        counted[place].1 += usize::from(index::values(matching).is_some());
    }
    // Stable: equally frequent ones stay in the order of their first use.
    counted.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    counted.into_iter().map(|(name, _)| name.clone()).collect()
}
