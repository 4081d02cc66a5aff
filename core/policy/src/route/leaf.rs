//! Rules that the values of their exact conditions have led to, and what is left to check of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use regex_automata::PatternID;
use smallvec::SmallVec;

use super::automaton::{Automaton, Undecided};
use super::matcher::{Matcher, Pattern, Test};
use super::{RegexRefusal, Values};

/// What the automata of one table may take together; beyond it, each has one regular expression.
const SETS_LIMIT: usize = 32 << 20;
/// How many regular expressions are searched for at once: the states of the automaton that does it
/// grow with them, and those behind the rule that matches need no search.
const SET_LENGTH: usize = 256;

/// Rules in their order.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) position: usize,
    /// By attribute, what costs most last.
    /// In place, so that a run of rules with one condition each is read in a row.
    pub(super) residual: SmallVec<[(usize, Residual); 1]>,
}

#[derive(Clone, Debug)]
pub(super) enum Residual {
    Alone(Arc<Test>),
    /// A regular expression, and whether it must not match.
    Among {
        /// Its automaton, and its place in that.
        place: (usize, PatternID),
        invert: bool,
        if_absent: bool,
    },
}

/// What is wrong with a regular expression of a rule, on an attribute.
pub(super) type Refused = (usize, usize, RegexRefusal);

impl Leaf {
    pub(super) fn push(&mut self, rule: &Rule) {
        self.rules.push(rule.clone());
    }

    /// The first rule that matches, if it comes before `before`.
    #[inline]
    pub(super) fn find<'m, F>(
        &self,
        values: &mut Values<'_, 'm, F>,
        before: Option<usize>,
    ) -> Result<Option<usize>, Undecided>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        for rule in &self.rules {
            if before.is_some_and(|before| rule.position >= before) {
                break;
            }
            if rule.holds(values)? {
                return Ok(Some(rule.position));
            }
        }
        Ok(None)
    }

    /// Joins the regular expressions of its rules, where possible those on one attribute.
    pub(super) fn join(&mut self, sets: &mut Sets) -> Result<(), Refused> {
        let mut of: BTreeMap<usize, Vec<Arc<str>>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (attribute, regex) in self.rules.iter().flat_map(Rule::regexes) {
            let regex = regex.anchored();
            if seen.insert((attribute, regex)) {
                of.entry(attribute).or_default().push(Arc::clone(regex));
            }
        }
        let mut joined = Joined::new();
        for (attribute, regexes) in of {
            for (automaton, regexes) in sets.of(&regexes) {
                let patterns = regexes.iter().enumerate();
                let patterns = patterns.map(|(i, regex)| (regex.clone(), PatternID::must(i)));
                joined.extend(patterns.map(|(regex, id)| ((attribute, regex), (automaton, id))));
            }
        }
        self.rules
            .iter_mut()
            .try_for_each(|rule| rule.join(&joined))
    }
}

/// Where the regular expression of an attribute is found.
type Joined = HashMap<(usize, Arc<str>), (usize, PatternID)>;

impl Rule {
    #[inline]
    fn holds<'m, F>(&self, values: &mut Values<'_, 'm, F>) -> Result<bool, Undecided>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        for (attribute, residual) in &self.residual {
            let holds = match residual {
                Residual::Alone(test) => test.holds(values.value(*attribute))?,
                Residual::Among {
                    place,
                    invert,
                    if_absent,
                } => match values.matches(*attribute, *place)? {
                    Some(matches) => matches != *invert,
                    None => *if_absent,
                },
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn regexes(&self) -> impl Iterator<Item = (usize, &Pattern)> {
        self.residual
            .iter()
            .filter_map(|(attribute, residual)| Some((*attribute, residual.regex()?.1)))
    }

    fn join(&mut self, joined: &Joined) -> Result<(), Refused> {
        for (attribute, residual) in &mut self.residual {
            let Some((test, pattern)) = residual.regex() else {
                continue;
            };
            let place = joined.get(&(*attribute, Arc::clone(pattern.anchored())));
            let Some(&place) = place else {
                let refused = pattern.compiled().err();
                return refused.map_or(Ok(()), |why| Err((self.position, *attribute, why)));
            };
            *residual = Residual::Among {
                place,
                invert: test.invert,
                if_absent: test.if_absent,
            };
        }
        Ok(())
    }
}

impl Residual {
    fn regex(&self) -> Option<(&Test, &Pattern)> {
        match self {
            Self::Alone(test) => match &test.matcher {
                Matcher::Regex(pattern) => Some((test, pattern)),
                _ => None,
            },
            Self::Among { .. } => None,
        }
    }
}

/// The automata of a table, each once however many leaves have its regular expressions.
#[derive(Default)]
pub(super) struct Sets {
    pub(super) automata: Vec<Automaton>,
    known: HashMap<Vec<Arc<str>>, usize>,
    size: usize,
}

impl Sets {
    /// The automata that these regular expressions are divided among: one, unless it would be too large.
    /// None has what is too large on its own.
    fn of<'r>(&mut self, regexes: &'r [Arc<str>]) -> Vec<(usize, &'r [Arc<str>])> {
        if let Some(known) = self.known.get(regexes) {
            return vec![(*known, regexes)];
        }
        let is_one = regexes.len() == 1;
        let is_small = is_one || (regexes.len() <= SET_LENGTH && self.size < SETS_LIMIT);
        let small = is_small.then(|| Automaton::new(regexes).ok()).flatten();
        let Some(automaton) = small else {
            let (first, second) = regexes.split_at(regexes.len() / 2);
            if is_one || second.is_empty() {
                return vec![];
            }
            let mut sets = self.of(first);
            sets.extend(self.of(second));
            return sets;
        };
        self.size += automaton.size();
        let place = self.automata.len();
        self.automata.push(automaton);
        self.known.insert(regexes.to_vec(), place);
        vec![(place, regexes)]
    }
}
