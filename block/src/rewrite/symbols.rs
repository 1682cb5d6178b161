//! The symbols of several blocks as one table, and for each block the numbers that its symbols have there.
//!
//! Symbols are sorted in every block and in the new one, so the new numbers rise with the old ones: whether two label sets are equal and
//! which of them comes first is seen from the numbers alone. The tables are read a piece at a time; what stays is the
//! new table and four bytes for each symbol of each block.

use crate::error::Error;
use crate::index::{SymbolStream, Version};
use crate::reader::Block;
use crate::writer::{BlockSink, BlockWriter};

/// From the numbers in the entries of one block to those in the new table.
#[derive(Debug)]
pub(super) enum Numbers {
    /// They are the same, below this one.
    Same(u32),
    /// By number.
    Listed(Vec<u32>),
    /// In version 1 the number of a symbol is its offset; offsets rise.
    ByOffset(Vec<(u32, u32)>),
}

impl Numbers {
    /// The new number of a symbol, if there is one.
    #[inline]
    pub(super) fn get(&self, symbol: u32) -> Option<u32> {
        match self {
            Self::Same(count) => (symbol < *count).then_some(symbol),
            Self::Listed(numbers) => numbers.get(symbol as usize).copied(),
            Self::ByOffset(numbers) => {
                let at = numbers.binary_search_by_key(&symbol, |(offset, _)| *offset).ok()?;
                numbers.get(at).map(|(_, number)| *number)
            }
        }
    }

    /// The same numbers in less room, if they turn out to be easy.
    fn settled(self) -> Self {
        match self {
            // They rise strictly, so the last one tells of all.
            Self::Listed(numbers)
                if numbers.last().is_none_or(|&last| last as usize == numbers.len() - 1) =>
            {
                Self::Same(numbers.len() as u32)
            }
            other => other,
        }
    }
}

/// The symbols of one block on their way into the new table.
struct Head<'a> {
    block: &'a Block,
    symbols: SymbolStream<'a>,
    numbers: Numbers,
    has_ended: bool,
}

impl<'a> Head<'a> {
    fn new(block: &'a Block) -> Result<Self, Error> {
        let mut symbols = SymbolStream::open(block.index())?;
        let numbers = match block.index().version() {
            Version::V1 => Numbers::ByOffset(Vec::new()),
            Version::V2 => Numbers::Listed(Vec::with_capacity(symbols.size().0)),
        };
        let has_ended = !symbols.advance()?;
        Ok(Self { block, symbols, numbers, has_ended })
    }

    /// Gives the present symbol, which is `text`, its new number and goes to the next one.
    fn take(&mut self, number: u32, text: &[u8]) -> Result<(), Error> {
        let offset = self.symbols.offset();
        match &mut self.numbers {
            Numbers::ByOffset(numbers) => match u32::try_from(offset) {
                Ok(offset) => numbers.push((offset, number)),
                Err(_) => return Err(Error::corrupt("index symbols", offset, "an offset above 32 bits")),
            },
            Numbers::Listed(numbers) => numbers.push(number),
            Numbers::Same(_) => {}
        }
        self.has_ended = !self.symbols.advance()?;
        if !self.has_ended && self.symbols.symbol() <= text {
            let why = "a symbol is not above the one before it";
            return Err(Error::corrupt("index symbols", self.symbols.offset(), why));
        }
        Ok(())
    }
}

/// Adds the symbols of all blocks to the writer, each once. The answer has the numbers of each block.
pub(super) fn merge_symbols<S: BlockSink>(
    blocks: &[Block],
    writer: &mut BlockWriter<S>,
) -> Result<Vec<Numbers>, Error> {
    let mut heads = Vec::with_capacity(blocks.len());
    for block in blocks {
        heads.push(Head::new(block).map_err(|error| error.in_block(block.meta().id))?);
    }
    let sizes = || heads.iter().map(|head| head.symbols.size());
    let most = (sizes().map(|size| size.0).sum(), sizes().map(|size| size.1).sum());
    writer.reserve_symbols(most.0, most.1);
    let (mut text, mut ties, mut number) = (Vec::new(), Vec::new(), 0u32);
    loop {
        ties.clear();
        let mut least: &[u8] = &[];
        // Blocks are few, so the least is looked for among all.
        for (i, head) in heads.iter().enumerate().filter(|(_, head)| !head.has_ended) {
            let symbol = head.symbols.symbol();
            match symbol.cmp(least) {
                _ if ties.is_empty() => {}
                std::cmp::Ordering::Less => ties.clear(),
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => continue,
            }
            least = symbol;
            ties.push(i);
        }
        if ties.is_empty() {
            return Ok(heads.into_iter().map(|head| head.numbers.settled()).collect());
        }
        text.clear();
        text.extend_from_slice(least);
        writer.add_symbol(&text)?;
        for &i in &ties {
            if let Some(head) = heads.get_mut(i) {
                head.take(number, &text).map_err(|error| error.in_block(head.block.meta().id))?;
            }
        }
        number = number.checked_add(1).ok_or_else(|| Error::invalid("index", "too many symbols"))?;
    }
}
