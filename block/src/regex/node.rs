//! An expression as a tree, and its way into the form that the automata are built from.
//!
//! A tree is at most [`MAX_HEIGHT`] high, so walking it by recursion is safe. Groups leave a node only where the reader was asked to keep
//! them; only for those does it matter whether a repetition is greedy.

use std::collections::VecDeque;

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

use super::fold;

/// The highest tree that Go's reader accepts, with its way of counting.
pub(super) const MAX_HEIGHT: u32 = 1000;

/// An expression.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// The empty text.
    Empty,
    /// These characters in a row; with `fold`, in any case.
    Literal { text: String, fold: bool },
    /// One character out of a set. An empty set matches nothing.
    Class(ClassUnicode),
    /// One character of any kind.
    AnyChar,
    /// A place between characters.
    Look(Look),
    /// A node again and again; `max` of `None` is without end.
    Repeat { min: u32, max: Option<u32>, greedy: bool, node: Box<Node> },
    /// What the group of this number, from 1, matches is remembered.
    Group { number: u32, node: Box<Node> },
    /// One after the other.
    Concat(VecDeque<Node>),
    /// One of these.
    Alternate(VecDeque<Node>),
}

/// A node with what the limits of the language ask about it.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) node: Node,
    /// Levels of the tree as Go counts them: a capturing group is one, a list in a list of the same kind is none.
    pub(super) height: u32,
    /// Whether the term is a capturing group, which Go never takes apart.
    pub(super) captured: bool,
    /// How often the innermost part is repeated by counts alone.
    pub(super) copies: u32,
}

impl Term {
    pub(super) const fn leaf(node: Node) -> Self {
        Self { node, height: 1, captured: false, copies: 0 }
    }

    /// The term as often as `times` says. `counted` tells `x{1,2}` from `x*`, `x+` and `x?`.
    pub(super) fn repeat(self, times: Times, counted: bool) -> Self {
        let Times { min, max, greedy } = times;
        let copies = match (counted, max.unwrap_or(min)) {
            (true, 0) if max.is_some() => 0,
            (false, _) | (true, 0) => self.copies,
            (true, most) => most.saturating_mul(self.copies.max(1)),
        };
        let node = Node::Repeat { min, max, greedy, node: Box::new(self.node) };
        Self { node, height: self.height + 1, captured: false, copies }
    }

    /// Several terms in a row or side by side. A lone term stays what it is; a list of the same kind is taken in.
    pub(super) fn list(mut terms: Vec<Self>, kind: List) -> Self {
        if terms.len() == 1
            && let Some(only) = terms.pop()
        {
            return only;
        }
        let (mut height, mut copies) = (0, 0);
        let mut nodes = VecDeque::new();
        for term in terms {
            copies = copies.max(term.copies);
            match kind.take(term.node) {
                Ok(inner) => {
                    height = height.max(term.height - u32::from(!term.captured));
                    nodes = join(nodes, inner);
                }
                Err(node) => {
                    height = height.max(term.height);
                    nodes.push_back(node);
                }
            }
        }
        if nodes.is_empty() {
            return Self::leaf(Node::Empty);
        }
        let node = match kind {
            List::Concat => Node::Concat(nodes),
            List::Alternate => Node::Alternate(nodes),
        };
        Self { node, height: height + 1, captured: false, copies }
    }
}

/// How often, and whether rather often than seldom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) min: u32,
    pub(super) max: Option<u32>,
    pub(super) greedy: bool,
}

/// The two kinds of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Concat,
    Alternate,
}

impl List {
    fn take(self, node: Node) -> Result<VecDeque<Node>, Node> {
        match (self, node) {
            (Self::Concat, Node::Concat(nodes)) | (Self::Alternate, Node::Alternate(nodes)) => Ok(nodes),
            (_, node) => Err(node),
        }
    }
}

/// Moves the shorter list to the longer one, so that deep nesting on one side stays cheap.
fn join(mut left: VecDeque<Node>, mut right: VecDeque<Node>) -> VecDeque<Node> {
    if left.len() >= right.len() {
        left.append(&mut right);
        return left;
    }
    while let Some(node) = left.pop_back() {
        right.push_front(node);
    }
    right
}

/// The expression as `regex-automata` wants it.
pub(super) fn lower(node: &Node) -> Hir {
    match node {
        Node::Empty => Hir::empty(),
        Node::Literal { text, fold: false } => Hir::literal(text.as_bytes()),
        Node::Literal { text, fold: true } => {
            Hir::concat(text.chars().map(|c| Hir::class(Class::Unicode(fold::of_char(c)))).collect())
        }
        Node::Class(class) => Hir::class(Class::Unicode(class.clone())),
        Node::AnyChar => {
            let all = ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)]);
            Hir::class(Class::Unicode(all))
        }
        Node::Look(look) => Hir::look(*look),
        Node::Repeat { min, max, greedy, node } => {
            Hir::repetition(Repetition { min: *min, max: *max, greedy: *greedy, sub: Box::new(lower(node)) })
        }
        Node::Group { number, node } => {
            Hir::capture(Capture { index: *number, name: None, sub: Box::new(lower(node)) })
        }
        Node::Concat(nodes) => Hir::concat(nodes.iter().map(lower).collect()),
        Node::Alternate(nodes) => Hir::alternation(nodes.iter().map(lower).collect()),
    }
}
