//! Rules by the values of their exact conditions, and of those that name a few values.
//!
//! Rules that fix the same set of attributes share a [`Shape`]: a tree of hash tables, one level
//! for each attribute. A lookup walks each shape once; the smallest rule found decides. There are
//! as many shapes as there are distinct sets, usually two or three, whatever the number of rules.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::matcher::Matcher;
use super::{AttributeMatch, Condition, RouteTableError, Values, alternation};

/// In how many places one rule may stand; what would take more is looked up rule by rule.
const PLACES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// By their smallest rule.
    shapes: Vec<Shape>,
}

#[derive(Debug)]
struct Shape {
    /// Attributes whose values are listed, ascending; a level of the tree each.
    attributes: Vec<usize>,
    first_rule: usize,
    root: Node,
}

#[derive(Debug)]
enum Node {
    Level(HashMap<Box<[u8]>, Self, BuildHasherDefault<ValueHasher>>),
    /// Ascending.
    Rules(Vec<Rule>),
}

#[derive(Clone, Debug)]
struct Rule {
    position: usize,
    /// What is left to check after the values of the levels, by cost.
    residual: Arc<[(usize, Matcher)]>,
}

/// An attribute, and the values of it that a rule lists.
type Listed = (usize, Vec<Box<[u8]>>);

impl Index {
    pub(super) fn new(
        rules: &[Vec<AttributeMatch>],
        attributes: &[String],
    ) -> Result<Self, RouteTableError> {
        let mut index = Self::default();
        for (position, matches) in rules.iter().enumerate() {
            index.insert(position, matches, attributes)?;
        }
        Ok(index)
    }

    fn insert(
        &mut self,
        position: usize,
        matches: &[AttributeMatch],
        attributes: &[String],
    ) -> Result<(), RouteTableError> {
        let mut listed: Vec<Listed> = Vec::new();
        let mut residual = Vec::new();
        let mut places = 1;
        for AttributeMatch { name, condition } in matches {
            let attribute = attributes
                .iter()
                .position(|attribute| attribute == name)
                .expect("the attributes are those of the rules");
            let is_new = listed.iter().all(|&(seen, _)| seen != attribute);
            match values(condition) {
                Some(values) if is_new && places * values.len() <= PLACES => {
                    places *= values.len();
                    listed.push((attribute, values));
                }
                _ => {
                    let matcher = Matcher::new(condition).map_err(|reason| RouteTableError {
                        rule: position,
                        attribute: name.clone(),
                        reason,
                    })?;
                    residual.push((attribute, matcher));
                }
            }
        }
        listed.sort_unstable_by_key(|&(attribute, _)| attribute);
        residual.sort_by_key(|(attribute, matcher)| (matcher.is_regex(), *attribute));
        let residual = residual.into();
        let shape = self.shape(position, listed.iter().map(|&(attribute, _)| attribute));
        shape.root.insert(&listed, &Rule { position, residual });
        Ok(())
    }

    fn shape(&mut self, first_rule: usize, attributes: impl Iterator<Item = usize>) -> &mut Shape {
        let attributes: Vec<usize> = attributes.collect();
        let known = self.shapes.iter().position(|s| s.attributes == attributes);
        let at = known.unwrap_or_else(|| {
            self.shapes.push(Shape {
                root: Node::empty(attributes.len()),
                attributes,
                first_rule,
            });
            self.shapes.len() - 1
        });
        &mut self.shapes[at]
    }

    /// The position of the first rule that matches.
    pub(super) fn first_match<'m, F>(&self, values: &mut Values<'m, F>) -> Option<usize>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        let mut best = None;
        for shape in &self.shapes {
            if best.is_some_and(|best| best < shape.first_rule) {
                break;
            }
            best = shape.find(values, best).or(best);
        }
        best
    }
}

impl Shape {
    /// The first rule of this shape that matches, if it comes before `before`.
    fn find<'m, F>(&self, values: &mut Values<'m, F>, before: Option<usize>) -> Option<usize>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        let mut node = &self.root;
        for &attribute in &self.attributes {
            let Node::Level(next) = node else { return None };
            node = next.get(values.value(attribute)?)?;
        }
        let Node::Rules(rules) = node else {
            return None;
        };
        rules
            .iter()
            .take_while(|rule| before.is_none_or(|before| rule.position < before))
            .find(|rule| rule.holds(values))
            .map(|rule| rule.position)
    }
}

impl Rule {
    fn holds<'m, F>(&self, values: &mut Values<'m, F>) -> bool
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        self.residual.iter().all(|(attribute, matcher)| {
            values
                .value(*attribute)
                .is_some_and(|value| matcher.holds(value))
        })
    }
}

impl Node {
    fn empty(levels: usize) -> Self {
        if levels == 0 {
            Self::Rules(Vec::new())
        } else {
            Self::Level(HashMap::default())
        }
    }

    fn insert(&mut self, listed: &[Listed], rule: &Rule) {
        match (self, listed.split_first()) {
            (Self::Rules(rules), None) => rules.push(rule.clone()),
            (Self::Level(next), Some(((_, values), rest))) => {
                for value in values {
                    next.entry(value.clone())
                        .or_insert_with(|| Self::empty(rest.len()))
                        .insert(rest, rule);
                }
            }
            _ => unreachable!("a shape has a level for each of its attributes"),
        }
    }
}

/// The values that a condition lists, each once.
pub(super) fn values(condition: &Condition) -> Option<Vec<Box<[u8]>>> {
    match condition {
        Condition::Exact(value) => Some(vec![value.as_bytes().into()]),
        Condition::Regex(pattern) => Some(alternation::values(pattern)?.into_iter().collect()),
        Condition::Prefix(_) | Condition::PrefixIgnoreCase(_) | Condition::Present => None,
    }
}

/// Hashes attribute values. Not keyed: only configuration fills the tables, so that a peer's
/// values cannot make them degenerate.
#[derive(Default)]
struct ValueHasher(u64);

impl Hasher for ValueHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= xxh3_64(bytes);
    }

    /// The length that precedes a slice is part of its hash already.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
