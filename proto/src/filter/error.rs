//! Why a text is no filter, and where.

use std::fmt;

use crate::limits::{
    MAX_FILTER, MAX_FILTER_DEPTH, MAX_FILTER_NODES, MAX_FILTER_PATH, MAX_FILTER_PATTERN, MAX_FILTER_STEPS,
};

/// A text that is no filter: where it goes wrong, and what was expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct FilterError {
    /// Bytes of the text before the place.
    pub at: usize,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub problem: FilterProblem,
}

impl FilterError {
    pub(super) fn new(text: &str, at: usize, problem: FilterProblem) -> FilterError {
        let before = text.get(..at).unwrap_or(text);
        FilterError::at_end_of(before, problem)
    }

    pub(super) fn at_end_of(before: &str, problem: FilterProblem) -> FilterError {
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        FilterError {
            at: before.len(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            problem,
        }
    }
}

/// What is wrong with a filter at the place that a [`FilterError`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterProblem {
    /// Something else was expected: this.
    Expected(&'static str),
    /// The text is longer than a filter may be.
    TooLong,
    /// It has more terms, operators and items of lists than a filter may have.
    TooManyNodes,
    /// Parentheses and `not` are nested more deeply than they may be.
    TooDeep,
    /// A path into JSON has more steps than it may have.
    PathTooLong,
    /// A pattern is longer than one may be.
    PatternTooLong,
    /// It is not UTF-8.
    NotText,
}

impl fmt::Display for FilterProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilterProblem::Expected(what) => write!(f, "expected {what}"),
            FilterProblem::TooLong => write!(f, "a filter has at most {MAX_FILTER} bytes"),
            FilterProblem::TooManyNodes => {
                write!(f, "a filter has at most {MAX_FILTER_NODES} terms, operators and list items")
            }
            FilterProblem::TooDeep => {
                write!(f, "parentheses and 'not' are nested at most {MAX_FILTER_DEPTH} deep")
            }
            FilterProblem::PathTooLong => write!(f, "a path has at most {MAX_FILTER_PATH} steps"),
            FilterProblem::PatternTooLong => {
                write!(f, "a pattern has at most {MAX_FILTER_PATTERN} elements")
            }
            FilterProblem::NotText => write!(f, "expected UTF-8"),
        }
    }
}

/// Judging a record would take more steps than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("judging the record would take more than {MAX_FILTER_STEPS} steps")]
pub struct TooCostly;
