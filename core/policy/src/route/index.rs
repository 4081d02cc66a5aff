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

use super::automaton::{Automaton, Undecided};
use super::leaf::{Leaf, Refused, Residual, Rule, Sets};
use super::matcher::Test;
use super::{
    Alternative, Attribute, AttributeMatch, Condition, RouteTableError, Values, alternation,
};

/// In how many places one rule may stand; what would take more is looked up rule by rule.
const PLACES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// By their smallest rule.
    shapes: Vec<Shape>,
    /// What is searched for regular expressions with.
    pub(super) automata: Vec<Automaton>,
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
    /// A level of one value, which needs no hash.
    Only(Box<[u8]>, Box<Self>),
    Leaf(Leaf),
}

/// An attribute, and the values of it that a rule lists.
type Listed = (usize, Vec<Box<[u8]>>);

impl Index {
    pub(super) fn new(
        rules: &[Vec<Alternative>],
        attributes: &[Attribute],
    ) -> Result<Self, RouteTableError> {
        let places = attributes.iter().enumerate();
        let places: HashMap<_, _> = places.map(|(place, name)| (name, place)).collect();
        let mut index = Self::default();
        for (position, alternatives) in rules.iter().enumerate() {
            for matches in alternatives {
                index.insert(position, matches, &places)?;
            }
        }
        let mut sets = Sets::default();
        for shape in &mut index.shapes {
            let settled = shape.root.settle(&mut sets);
            settled.map_err(|(rule, attribute, reason)| RouteTableError {
                rule,
                attribute: attributes[attribute].clone(),
                reason,
            })?;
        }
        index.automata = sets.automata;
        Ok(index)
    }

    fn insert(
        &mut self,
        position: usize,
        matches: &[AttributeMatch],
        places: &HashMap<&Attribute, usize>,
    ) -> Result<(), RouteTableError> {
        let mut listed: Vec<Listed> = Vec::new();
        let mut residual = Vec::new();
        let mut product = 1;
        for matching in matches {
            let attribute = *places
                .get(&matching.attribute)
                .expect("the attributes are those of the rules");
            let is_new = listed.iter().all(|&(seen, _)| seen != attribute);
            match values(matching) {
                Some(values) if is_new && product * values.len() <= PLACES => {
                    product *= values.len();
                    listed.push((attribute, values));
                }
                _ => {
                    let test = Test::new(matching).map_err(|reason| RouteTableError {
                        rule: position,
                        attribute: matching.attribute.clone(),
                        reason,
                    })?;
                    residual.push((attribute, test));
                }
            }
        }
        listed.sort_unstable_by_key(|&(attribute, _)| attribute);
        residual.sort_by_key(|(attribute, test)| (test.is_regex(), *attribute));
        let residual = residual.into_iter();
        let residual = residual
            .map(|(attribute, test)| (attribute, Residual::Alone(Arc::new(test))))
            .collect();
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
    pub(super) fn first_match<'m, F>(
        &self,
        values: &mut Values<'_, 'm, F>,
    ) -> Result<Option<usize>, Undecided>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        let mut best = None;
        for shape in &self.shapes {
            if best.is_some_and(|best| best < shape.first_rule) {
                break;
            }
            best = shape.find(values, best)?.or(best);
        }
        Ok(best)
    }
}

impl Shape {
    /// The first rule of this shape that matches, if it comes before `before`.
    fn find<'m, F>(
        &self,
        values: &mut Values<'_, 'm, F>,
        before: Option<usize>,
    ) -> Result<Option<usize>, Undecided>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        match self.leaf(values) {
            Some(leaf) => leaf.find(values, before),
            None => Ok(None),
        }
    }

    fn leaf<'m, F>(&self, values: &mut Values<'_, 'm, F>) -> Option<&Leaf>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        let mut node = &self.root;
        for &attribute in &self.attributes {
            let value = values.value(attribute)?;
            node = match node {
                Node::Only(only, next) if **only == *value => next,
                Node::Level(next) => next.get(value)?,
                Node::Only(..) | Node::Leaf(_) => return None,
            };
        }
        match node {
            Node::Leaf(leaf) => Some(leaf),
            Node::Only(..) | Node::Level(_) => None,
        }
    }
}

impl Node {
    fn empty(levels: usize) -> Self {
        if levels == 0 {
            Self::Leaf(Leaf::default())
        } else {
            Self::Level(HashMap::default())
        }
    }

    fn insert(&mut self, listed: &[Listed], rule: &Rule) {
        match (self, listed.split_first()) {
            (Self::Leaf(leaf), None) => leaf.push(rule),
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

    /// Gives everything the form in which it is looked up, when all rules are there.
    fn settle(&mut self, sets: &mut Sets) -> Result<(), Refused> {
        match self {
            Self::Leaf(leaf) => leaf.join(sets),
            Self::Only(_, next) => next.settle(sets),
            Self::Level(next) => {
                next.values_mut().try_for_each(|node| node.settle(sets))?;
                if next.len() == 1 {
                    let only = next.drain().next();
                    *self = only.map_or(Self::empty(1), |(value, node)| {
                        Self::Only(value, Box::new(node))
                    });
                }
                Ok(())
            }
        }
    }
}

/// The values that a condition lists, each once, where nothing else satisfies it.
pub(super) fn values(matching: &AttributeMatch) -> Option<Vec<Box<[u8]>>> {
    match &matching.condition {
        _ if matching.invert || matching.absent_is_empty => None,
        Condition::Exact(text) if !text.ignore_case => Some(vec![text.value.as_bytes().into()]),
        Condition::Regex(pattern) => Some(alternation::values(pattern)?.into_iter().collect()),
        _ => None,
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
