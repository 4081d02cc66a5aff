//! Rules that the values of their exact conditions have led to, and what is left to check of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::matcher::{Matcher, Test};
use super::pattern_set::PatternSet;
use super::{RegexRefusal, Values};
use regex_automata::PatternID;
use smallvec::SmallVec;

/// What the sets of one table may take together; beyond it, regular expressions are tried one by one.
const SETS_LIMIT: usize = 32 << 20;
/// How many regular expressions are searched for at once: the states of the automaton that does it
/// grow with them, and those behind the rule that matches need no search.
const SET_LENGTH: usize = 256;
/// The most sets of one leaf: as many as bits that say which were searched.
const SETS_PER_LEAF: usize = u64::BITS as usize;

/// Rules in their order.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    rules: Vec<Rule>,
    /// Of its regular expressions on one attribute, where there are several.
    sets: Vec<Rc<PatternSet>>,
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
    Alone(Rc<Test>),
    /// A regular expression, and whether it must not match.
    Among {
        set: usize,
        pattern: PatternID,
        invert: bool,
        if_absent: bool,
    },
}

impl Leaf {
    pub(super) fn push(&mut self, rule: &Rule) {
        self.rules.push(rule.clone());
    }

    /// The first rule that matches, if it comes before `before`.
    #[inline]
    pub(super) fn find<'m, F>(
        &self,
        values: &mut Values<'m, F>,
        before: Option<usize>,
    ) -> Option<usize>
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        let mut searched = 0u64;
        self.rules
            .iter()
            .take_while(|rule| before.is_none_or(|before| rule.position < before))
            .find(|rule| rule.residual.is_empty() || self.holds(rule, values, &mut searched))
            .map(|rule| rule.position)
    }

    fn holds<'m, F>(&self, rule: &Rule, values: &mut Values<'m, F>, searched: &mut u64) -> bool
    where
        F: FnMut(usize) -> Option<Cow<'m, [u8]>>,
    {
        rule.residual.iter().all(|(attribute, residual)| {
            let value = values.value(*attribute);
            match residual {
                Residual::Alone(test) => test.holds(value),
                Residual::Among {
                    set,
                    pattern,
                    invert,
                    if_absent,
                } => {
                    let (Some(value), Some(patterns)) = (value, self.sets.get(*set)) else {
                        return *if_absent;
                    };
                    if *searched & (1 << set) == 0 {
                        patterns.search(value);
                        *searched |= 1 << set;
                    }
                    patterns.found(*pattern) != *invert
                }
            }
        })
    }

    /// Joins the regular expressions of its rules into sets, where possible one for an attribute.
    pub(super) fn join(&mut self, sets: &mut Sets) {
        let mut of: BTreeMap<usize, Vec<Rc<str>>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (attribute, regex) in self.rules.iter().flat_map(Rule::regexes) {
            if seen.insert((attribute, regex)) {
                of.entry(attribute).or_default().push(regex.into());
            }
        }
        let mut joined = Joined::new();
        for (attribute, regexes) in of {
            for (set, regexes) in sets.of(&regexes) {
                if self.sets.len() == SETS_PER_LEAF {
                    break;
                }
                let patterns = regexes.iter().enumerate();
                let patterns = patterns.map(|(i, regex)| (regex.clone(), PatternID::must(i)));
                let place = self.sets.len();
                joined.extend(patterns.map(|(regex, id)| ((attribute, regex), (place, id))));
                self.sets.push(set);
            }
        }
        if !joined.is_empty() {
            self.rules.iter_mut().for_each(|rule| rule.join(&joined));
        }
    }

    /// Compiles what is tried alone. An error says of which rule and attribute.
    pub(super) fn compile(&self) -> Result<(), (usize, usize, RegexRefusal)> {
        let alone = self.rules.iter().flat_map(|rule| {
            let residual = rule.residual.iter();
            residual.map(move |(attribute, it)| (rule.position, *attribute, it))
        });
        for (rule, attribute, residual) in alone {
            if let Residual::Alone(test) = residual {
                let compiled = test.matcher.compile();
                compiled.map_err(|reason| (rule, attribute, reason))?;
            }
        }
        Ok(())
    }
}

/// Where the regular expression of an attribute is found.
type Joined = HashMap<(usize, Rc<str>), (usize, PatternID)>;

impl Rule {
    fn regexes(&self) -> impl Iterator<Item = (usize, &str)> {
        self.residual
            .iter()
            .filter_map(|(attribute, residual)| Some((*attribute, residual.regex()?)))
    }

    fn join(&mut self, joined: &Joined) {
        let residual = self.residual.iter().map(|(attribute, residual)| {
            let among = residual.among(*attribute, joined);
            (*attribute, among.unwrap_or_else(|| residual.clone()))
        });
        self.residual = residual.collect();
    }
}

impl Residual {
    fn regex(&self) -> Option<&str> {
        match self {
            Self::Alone(test) => match &test.matcher {
                Matcher::Regex(pattern) => Some(pattern.as_str()),
                _ => None,
            },
            Self::Among { .. } => None,
        }
    }

    fn among(&self, attribute: usize, joined: &Joined) -> Option<Self> {
        let &(set, pattern) = joined.get(&(attribute, self.regex()?.into()))?;
        let Self::Alone(test) = self else { return None };
        Some(Self::Among {
            set,
            pattern,
            invert: test.invert,
            if_absent: test.if_absent,
        })
    }
}

/// The sets of a table, each once however many leaves have its regular expressions.
#[derive(Default)]
pub(super) struct Sets {
    known: HashMap<Vec<Rc<str>>, Rc<PatternSet>>,
    size: usize,
}

impl Sets {
    /// Sets that these regular expressions are divided into: one, unless it would be too large.
    fn of<'r>(&mut self, regexes: &'r [Rc<str>]) -> Vec<(Rc<PatternSet>, &'r [Rc<str>])> {
        if regexes.len() < 2 {
            return vec![];
        }
        if let Some(known) = self.known.get(regexes) {
            return vec![(known.clone(), regexes)];
        }
        if self.size >= SETS_LIMIT {
            return vec![];
        }
        let small = (regexes.len() <= SET_LENGTH).then(|| PatternSet::new(regexes));
        let Some(set) = small.flatten() else {
            let (first, second) = regexes.split_at(regexes.len() / 2);
            let mut sets = self.of(first);
            sets.extend(self.of(second));
            return sets;
        };
        self.size += set.size();
        let set = Rc::new(set);
        self.known.insert(regexes.to_vec(), set.clone());
        vec![(set, regexes)]
    }
}
