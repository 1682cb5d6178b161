//! Sets of characters: `[a-z]`, `\d`, `[[:alpha:]]`, `\p{Greek}`.
//!
//! Perl's and POSIX' classes are ASCII only. Names of Unicode classes are those that Go knows, letter for letter; the sets
//! behind them come from `regex-syntax`, whose Unicode may be a version newer. Halves of surrogate pairs can be named in an
//! expression, but no value holds one, so they are left out.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::fold;

/// Categories by the names Go has for them. `Any` is handled apart.
const CATEGORIES: &[&str] = &[
    "C", "Cc", "Cf", "Cn", "Co", "Cs", "L", "LC", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N",
    "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl",
    "Zp", "Zs",
];

/// Scripts by the names Go has for them, sorted.
const SCRIPTS: &[&str] = &[
    "Adlam",
    "Ahom",
    "Anatolian_Hieroglyphs",
    "Arabic",
    "Armenian",
    "Avestan",
    "Balinese",
    "Bamum",
    "Bassa_Vah",
    "Batak",
    "Bengali",
    "Bhaiksuki",
    "Bopomofo",
    "Brahmi",
    "Braille",
    "Buginese",
    "Buhid",
    "Canadian_Aboriginal",
    "Carian",
    "Caucasian_Albanian",
    "Chakma",
    "Cham",
    "Cherokee",
    "Chorasmian",
    "Common",
    "Coptic",
    "Cuneiform",
    "Cypriot",
    "Cypro_Minoan",
    "Cyrillic",
    "Deseret",
    "Devanagari",
    "Dives_Akuru",
    "Dogra",
    "Duployan",
    "Egyptian_Hieroglyphs",
    "Elbasan",
    "Elymaic",
    "Ethiopic",
    "Georgian",
    "Glagolitic",
    "Gothic",
    "Grantha",
    "Greek",
    "Gujarati",
    "Gunjala_Gondi",
    "Gurmukhi",
    "Han",
    "Hangul",
    "Hanifi_Rohingya",
    "Hanunoo",
    "Hatran",
    "Hebrew",
    "Hiragana",
    "Imperial_Aramaic",
    "Inherited",
    "Inscriptional_Pahlavi",
    "Inscriptional_Parthian",
    "Javanese",
    "Kaithi",
    "Kannada",
    "Katakana",
    "Kawi",
    "Kayah_Li",
    "Kharoshthi",
    "Khitan_Small_Script",
    "Khmer",
    "Khojki",
    "Khudawadi",
    "Lao",
    "Latin",
    "Lepcha",
    "Limbu",
    "Linear_A",
    "Linear_B",
    "Lisu",
    "Lycian",
    "Lydian",
    "Mahajani",
    "Makasar",
    "Malayalam",
    "Mandaic",
    "Manichaean",
    "Marchen",
    "Masaram_Gondi",
    "Medefaidrin",
    "Meetei_Mayek",
    "Mende_Kikakui",
    "Meroitic_Cursive",
    "Meroitic_Hieroglyphs",
    "Miao",
    "Modi",
    "Mongolian",
    "Mro",
    "Multani",
    "Myanmar",
    "Nabataean",
    "Nag_Mundari",
    "Nandinagari",
    "New_Tai_Lue",
    "Newa",
    "Nko",
    "Nushu",
    "Nyiakeng_Puachue_Hmong",
    "Ogham",
    "Ol_Chiki",
    "Old_Hungarian",
    "Old_Italic",
    "Old_North_Arabian",
    "Old_Permic",
    "Old_Persian",
    "Old_Sogdian",
    "Old_South_Arabian",
    "Old_Turkic",
    "Old_Uyghur",
    "Oriya",
    "Osage",
    "Osmanya",
    "Pahawh_Hmong",
    "Palmyrene",
    "Pau_Cin_Hau",
    "Phags_Pa",
    "Phoenician",
    "Psalter_Pahlavi",
    "Rejang",
    "Runic",
    "Samaritan",
    "Saurashtra",
    "Sharada",
    "Shavian",
    "Siddham",
    "SignWriting",
    "Sinhala",
    "Sogdian",
    "Sora_Sompeng",
    "Soyombo",
    "Sundanese",
    "Syloti_Nagri",
    "Syriac",
    "Tagalog",
    "Tagbanwa",
    "Tai_Le",
    "Tai_Tham",
    "Tai_Viet",
    "Takri",
    "Tamil",
    "Tangsa",
    "Tangut",
    "Telugu",
    "Thaana",
    "Thai",
    "Tibetan",
    "Tifinagh",
    "Tirhuta",
    "Toto",
    "Ugaritic",
    "Vai",
    "Vithkuqi",
    "Wancho",
    "Warang_Citi",
    "Yezidi",
    "Yi",
    "Zanabazar_Square",
];

/// ASCII ranges of a class, and whether the class is everything else.
type Named = (&'static [(char, char)], bool);

const DIGIT: &[(char, char)] = &[('0', '9')];
const SPACE: &[(char, char)] = &[('\t', '\n'), ('\x0C', '\r'), (' ', ' ')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// `\d`, `\s`, `\w` and their opposites.
fn perl(letter: u8) -> Option<Named> {
    Some(match letter {
        b'd' => (DIGIT, false),
        b'D' => (DIGIT, true),
        b's' => (SPACE, false),
        b'S' => (SPACE, true),
        b'w' => (WORD, false),
        b'W' => (WORD, true),
        _ => return None,
    })
}

/// The name between `[:` and `:]`.
fn posix(name: &str) -> Option<Named> {
    let (name, negated) = name.strip_prefix('^').map_or((name, false), |name| (name, true));
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7F')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1F'), ('\x7F', '\x7F')],
        "digit" => DIGIT,
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => WORD,
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    Some((ranges, negated))
}

fn named((ranges, negated): Named, folded: bool) -> ClassUnicode {
    let plain = ClassUnicode::new(ranges.iter().map(|&(low, high)| ClassUnicodeRange::new(low, high)));
    finish(plain, folded, negated)
}

fn finish(class: ClassUnicode, folded: bool, negated: bool) -> ClassUnicode {
    let mut class = if folded { fold::of_class(&class) } else { class };
    if negated {
        class.negate();
    }
    class
}

/// The class `\x` for a letter `x`, if there is one.
pub(super) fn perl_class(letter: u8, folded: bool) -> Option<ClassUnicode> {
    perl(letter).map(|class| named(class, folded))
}

/// The class `[:name:]`, if there is one.
pub(super) fn posix_class(name: &str, folded: bool) -> Option<ClassUnicode> {
    posix(name).map(|class| named(class, folded))
}

/// The class `\p{name}`, if there is one. A `^` before the name asks for the opposite.
pub(super) fn unicode_class(name: &str, folded: bool, negated: bool) -> Option<ClassUnicode> {
    let (name, negated) = name.strip_prefix('^').map_or((name, negated), |name| (name, !negated));
    let class = if name == "Any" {
        ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)])
    } else if name == "Cs" {
        ClassUnicode::empty()
    } else if CATEGORIES.contains(&name) {
        look_up(&format!("\\p{{gc={name}}}"))?
    } else if SCRIPTS.binary_search(&name).is_ok() {
        look_up(&format!("\\p{{sc={name}}}"))?
    } else {
        return None;
    };
    Some(finish(class, folded, negated))
}

fn look_up(property: &str) -> Option<ClassUnicode> {
    match regex_syntax::parse(property).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        HirKind::Literal(literal) => {
            let c = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
            Some(ClassUnicode::new([ClassUnicodeRange::new(c, c)]))
        }
        _ => None,
    }
}

/// The members of a class in brackets, as they are read.
#[derive(Debug, Default)]
pub(super) struct Members {
    ranges: Vec<ClassUnicodeRange>,
    /// Length at which the ranges are brought together before more are added.
    full: usize,
}

impl Members {
    /// Adds code points `low..=high`, without the halves of surrogate pairs.
    pub(super) fn push(&mut self, low: u32, high: u32, folded: bool) {
        const SURROGATES: std::ops::RangeInclusive<u32> = 0xD800..=0xDFFF;
        let low = if SURROGATES.contains(&low) { SURROGATES.end() + 1 } else { low };
        let high = if SURROGATES.contains(&high) { SURROGATES.start() - 1 } else { high };
        if let (Some(low), Some(high)) = (char::from_u32(low), char::from_u32(high))
            && low <= high
        {
            if folded {
                fold::push_folded(&mut self.ranges, low, high);
            } else {
                self.ranges.push(ClassUnicodeRange::new(low, high));
            }
            self.bound();
        }
    }

    /// Adds a class that has a name.
    pub(super) fn extend(&mut self, class: &ClassUnicode) {
        self.ranges.extend(class.iter());
        self.bound();
    }

    /// Keeps memory in proportion to the class and not to the text that describes it.
    fn bound(&mut self) {
        if self.ranges.len() > self.full.max(1 << 14) {
            let class = ClassUnicode::new(self.ranges.drain(..));
            self.ranges.extend(class.iter());
            self.full = self.ranges.len().saturating_mul(2);
        }
    }

    /// The class, or everything else.
    pub(super) fn finish(self, negated: bool) -> ClassUnicode {
        finish(ClassUnicode::new(self.ranges), false, negated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_go_is_known() {
        assert!(SCRIPTS.is_sorted());
        for name in CATEGORIES.iter().chain(SCRIPTS).chain(&["Any"]) {
            assert!(unicode_class(name, false, false).is_some(), "{name}");
            assert!(unicode_class(name, true, true).is_some(), "{name}");
        }
        for name in ["Emoji", "greek", "scx=Greek", "Letter", "", "^"] {
            assert!(unicode_class(name, false, false).is_none(), "{name}");
        }
    }
}
