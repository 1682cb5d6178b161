//! What can be told about an expression from its tree: the texts it accepts if they can be listed, as runs of literals and gaps,
//! and the bytes with which every accepted text begins.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange, Look};

use super::node::Node;

/// Texts that come from multiplying choices (`[ab][cd]`, `(?i)ab`) are listed up to this number.
const MAX_PRODUCT: usize = 256;
/// Bytes of all texts, in proportion to the expression: listing must not cost more than reading did.
const BYTES_PER_BYTE: usize = 16;
const SPARE_BYTES: usize = 1 << 16;

/// A part of an accepted text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Piece {
    /// These bytes.
    Text(Vec<u8>),
    /// At least so many characters of any kind.
    Gap(u32),
}

/// One way to be accepted: literals and gaps in turn, never two of a kind beside each other, no empty literal.
pub(super) type Run = Vec<Piece>;

/// All ways to be accepted, unless they are too many or of another shape. `length` is that of the expression.
pub(super) fn runs(node: &Node, length: usize) -> Option<Vec<Run>> {
    let budget = length.saturating_mul(BYTES_PER_BYTE).saturating_add(SPARE_BYTES);
    expand(strip_anchors(node).as_deref()?, budget)
}

/// A list of nodes in a row without the anchors at both ends, which change nothing for a match of the whole value.
fn strip_anchors(node: &Node) -> Option<Vec<&Node>> {
    let mut nodes: Vec<&Node> = match node {
        Node::Concat(nodes) => nodes.iter().collect(),
        node => vec![node],
    };
    let from = nodes.iter().take_while(|node| matches!(node, Node::Look(Look::Start))).count();
    nodes.drain(..from);
    while nodes.last().is_some_and(|node| matches!(node, Node::Look(Look::End))) {
        nodes.pop();
    }
    Some(nodes)
}

fn expand(nodes: &[&Node], budget: usize) -> Option<Vec<Run>> {
    let mut all = vec![Run::new()];
    for node in nodes {
        all = product(all, expand_one(node, budget)?, budget)?;
    }
    Some(all)
}

fn expand_one(node: &Node, budget: usize) -> Option<Vec<Run>> {
    Some(match node {
        Node::Empty => vec![Run::new()],
        Node::Literal { text, fold: false } => vec![vec![Piece::Text(text.clone().into_bytes())]],
        Node::Literal { text, fold: true } => {
            let mut all = vec![Run::new()];
            for c in text.chars() {
                all = product(all, of_class(&super::fold::of_char(c))?, budget)?;
            }
            all
        }
        Node::Class(class) => of_class(class)?,
        Node::AnyChar | Node::Look(_) => return None,
        Node::Group { node, .. } => expand_one(node, budget)?,
        Node::Repeat { min, max: None, node, .. } if matches!(**node, Node::AnyChar) => {
            vec![vec![Piece::Gap(*min)]]
        }
        Node::Repeat { max: None, .. } => return None,
        Node::Repeat { min, max: Some(max), node, .. } => expand_repeat(*min, *max, node, budget)?,
        Node::Concat(nodes) => expand(&nodes.iter().collect::<Vec<_>>(), budget)?,
        Node::Alternate(nodes) => {
            let mut all = Vec::new();
            let mut bytes = 0;
            for node in nodes {
                let more = expand_one(node, budget)?;
                bytes += size(&more);
                all.extend(more);
                if bytes > budget {
                    return None;
                }
            }
            all
        }
    })
}

fn expand_repeat(min: u32, max: u32, node: &Node, budget: usize) -> Option<Vec<Run>> {
    let once = expand_one(node, budget)?;
    let mut power = vec![Run::new()];
    let mut all = Vec::new();
    for count in 0..=max {
        if count >= min {
            all.extend(power.iter().cloned());
        }
        if all.len() > MAX_PRODUCT || size(&all) > budget {
            return None;
        }
        if count < max {
            power = product(power, once.clone(), budget)?;
        }
    }
    Some(all)
}

fn of_class(class: &ClassUnicode) -> Option<Vec<Run>> {
    let count: usize = class.iter().map(ClassUnicodeRange::len).sum();
    let chars = || class.iter().flat_map(|range| range.start()..=range.end());
    (count <= MAX_PRODUCT).then(|| chars().map(|c| vec![Piece::Text(c.to_string().into_bytes())]).collect())
}

fn size(runs: &[Run]) -> usize {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.len() + 8,
        Piece::Gap(_) => 8,
    };
    runs.iter().flatten().map(piece).sum::<usize>() + 8 * runs.len()
}

/// Each of `left` followed by each of `right`.
fn product(mut left: Vec<Run>, right: Vec<Run>, budget: usize) -> Option<Vec<Run>> {
    if let [only] = right.as_slice() {
        left.iter_mut().for_each(|run| only.iter().for_each(|piece| push(run, piece)));
        return (size(&left) <= budget).then_some(left);
    }
    let count = left.len().checked_mul(right.len())?;
    if left.len() > 1 && count > MAX_PRODUCT {
        return None;
    }
    let heads: usize = size(&left).checked_mul(right.len())?;
    if heads.checked_add(size(&right).checked_mul(left.len())?)? > budget {
        return None;
    }
    let mut all = Vec::with_capacity(count);
    for head in &left {
        for tail in &right {
            let mut run = head.clone();
            tail.iter().for_each(|piece| push(&mut run, piece));
            all.push(run);
        }
    }
    Some(all)
}

fn push(run: &mut Run, piece: &Piece) {
    match (run.last_mut(), piece) {
        (Some(Piece::Text(text)), Piece::Text(more)) => text.extend_from_slice(more),
        (Some(Piece::Gap(count)), Piece::Gap(more)) => *count = count.saturating_add(*more),
        (_, piece) => run.push(piece.clone()),
    }
}

/// Bytes with which every accepted text begins.
pub(super) fn prefix(node: &Node) -> Vec<u8> {
    let mut bytes = Vec::new();
    for node in strip_anchors(node).unwrap_or_default() {
        if !extend_prefix(node, &mut bytes) {
            break;
        }
    }
    bytes
}

/// Adds what is certain at the start of `node`; whether that was all of it.
fn extend_prefix(node: &Node, bytes: &mut Vec<u8>) -> bool {
    match node {
        Node::Empty => true,
        Node::Literal { text, fold: false } => {
            bytes.extend_from_slice(text.as_bytes());
            true
        }
        Node::Concat(nodes) => nodes.iter().all(|node| extend_prefix(node, bytes)),
        Node::Repeat { min, node, .. } if *min > 0 => {
            extend_prefix(node, bytes);
            false
        }
        Node::Alternate(nodes) => {
            let mut common: Option<Vec<u8>> = None;
            for node in nodes {
                let mut branch = Vec::new();
                extend_prefix(node, &mut branch);
                let so_far = common.get_or_insert_with(|| branch.clone());
                let same = so_far.iter().zip(&branch).take_while(|(a, b)| a == b).count();
                so_far.truncate(same);
                if same == 0 {
                    return false;
                }
            }
            bytes.extend(common.unwrap_or_default());
            false
        }
        _ => false,
    }
}
