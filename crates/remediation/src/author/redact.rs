//! Taking secrets out of text that leaves the process.
//!
//! What can be known by its place (values of variables, arguments, annotations) never comes here: it is not on the list
//! of [`super::egress`]. This is for free text, in which a secret can only be known by its looks: by what stands around
//! it (`password=`, `user:pass@`, `Bearer`), by the shape that its issuer gave it, or because it is no word of any
//! language. It errs towards taking out too much; but digests, names of pods, images and classes, which a diagnosis
//! needs, stay. A short secret that looks like a word and stands alone is not seen.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::{Captures, Regex};

/// Stands where something was taken out.
const REDACTED: &str = "[redacted]";

/// Shorter runs of characters may be a name's random ending (`7d9f8b6c4d`), and are no secret worth the name.
const SHORTEST_RANDOM: usize = 16;
/// Shorter hexadecimal is a span of a trace, a short commit.
const SHORTEST_HEX: usize = 24;
/// A whole word whose separators were removed is judged from this length on.
const SHORTEST_WHOLE: usize = 20;
/// Base64 of eight characters of text; less hides nothing.
const SHORTEST_BASE64: usize = 12;
/// Of a text made of words about 85 % of the pairs of letters are in [`PAIRS`], of a random one about 22 %.
const WORDS_PERCENT: usize = 60;
/// With fewer pairs the share says nothing; then the changes between letters and digits do.
const FEW_PAIRS: usize = 6;
const MANY_CHANGES: usize = 5;

/// The commonest pairs of letters in English and in identifiers.
const PAIRS: &str = "th he in er an re nd at on nt ha es st en ed to it ou ea hi is or ti as te et ng of al de se le \
    sa si ar ve ra ld ur ro io ne me li ri co ma ta el la ic ll ca us no ec ns ch om rs nc ce pe tr ss em po lo ac il \
    ge ai un ut su ul ol so tt pr ho ee wi mo ot di am fo id ag ay ke op ow pl ir sh ad mp ty ck ie im ig gh ov we ap \
    sp ef be ev ia if iv ly oo bl fi ab uc ct ex ob od ph qu rt rn rk rm rv rl va vi ba ff cr lu au ub ue ry ts ds ls \
    ul ks ws um na do fa sc up ki gr cl br dr nk";

/// A private key, also one whose end was cut off.
static PEM: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?s)-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\z)"));

/// Who one is, and the word that proves it, before the host of an address.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/?#"'<>@]*:[^\s"'<>]*@|[^\s/?#"'<>@]+@)"#)
});

/// A name that promises a secret, and its value.
static PAIR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?xi)
        ( [\w.-]* (?:
            passw(?:or)?d | passphrase | pwd | secret | token | credential | authorization | cookie
          | (?:api|access|account|private|signing|encryption|client|master) [_-]? key
          | session [_-]? id | connection [_-]? string | conn [_-]? str | signature
          ) [\w.-]*
        | (?: [\w.-]* [_.-] )? (?: pass | sig | auth | dsn | salt ) )
        ( (?: \\* ["'] )? \s* (?: => | := | = | : ) \s* )
        (?: \\* " [^"\n]* "? | \\* ' [^'\n]* '?
          | (?: (?:bearer|basic|digest|negotiate|token) \s+ )? [^\s"'&;)}\]]+ )"#,
    )
});

/// The same as an argument: `--password hunter2`.
static ARGUMENT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)((?:^|\s)--?[\w-]*(?:passw(?:or)?d|passphrase|secret|token|credential|api-?key)[\w-]*\s+)[^\s-]\S*",
    )
});

/// What its issuer gave a shape.
static SHAPE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x-u)
        \b(?: (?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{12,}
          | gh[pousr]_\w{16,} | github_pat_\w{16,} | glpat-[\w-]{16,}
          | xox[abeoprs]-[\w-]{10,} | (?:sk|rk|pk)_(?:live|test)_\w{10,} | sk-[\w-]{16,} | whsec_\w{16,}
          | AIza[\w-]{30,} | ya29\.[\w-]{10,} | GOCSPX-[\w-]{16,}
          | npm_\w{20,} | pypi-[\w-]{16,} | dop_v1_\w{20,} | hf_\w{16,} | hv[sb]\.[\w-]{16,}
          | SG\.[\w-]{10,}\.[\w-]{10,} | AGE-SECRET-KEY-\w{16,} | \d{8,10}:[\w-]{35}
          | eyJ[\w-]{8,}(?:\.[\w-]*){0,2} )
        | (?i:\bbearer\s+)[\w.~+/=-]{16,}",
    )
});

/// What could be one secret: no word, path or name is told from it by its characters alone.
static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z0-9+/=_-]{12,}"));

fn pattern(literal: &str) -> Regex {
    Regex::new(literal).expect("the patterns are literals, and tested")
}

/// The text without what may be a secret.
pub fn redact(text: &str) -> Cow<'_, str> {
    let text = then(Cow::Borrowed(text), |text| PEM.replace_all(text, REDACTED));
    let text = then(text, |text| {
        ADDRESS.replace_all(text, |found: &Captures<'_>| format!("{}{REDACTED}@", &found[1]))
    });
    let text = then(text, |text| {
        PAIR.replace_all(text, |found: &Captures<'_>| [&found[1], &found[2], REDACTED].concat())
    });
    let text = then(text, |text| {
        ARGUMENT.replace_all(text, |found: &Captures<'_>| format!("{}{REDACTED}", &found[1]))
    });
    let text = then(text, |text| SHAPE.replace_all(text, REDACTED));
    then(text, words)
}

/// One more pass over a text, which is copied only if a pass finds something.
fn then(text: Cow<'_, str>, pass: impl Fn(&str) -> Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => pass(text),
        Cow::Owned(text) => match pass(&text) {
            Cow::Borrowed(_) => Cow::Owned(text),
            Cow::Owned(less) => Cow::Owned(less),
        },
    }
}

fn words(text: &str) -> Cow<'_, str> {
    let mut less = String::new();
    let mut from = 0;
    for found in WORD.find_iter(text) {
        // The digest of an image is public, and says which image it is.
        let digest = text[..found.start()].ends_with("sha256:");
        if !digest && (is_random_word(found.as_str()) || is_hidden_text(found.as_str())) {
            less.push_str(&text[from..found.start()]);
            less.push_str(REDACTED);
            from = found.end();
        }
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    less.push_str(&text[from..]);
    Cow::Owned(less)
}

/// Whether some part of a word is random, or the whole of it once the separators of its alphabet are removed.
fn is_random_word(word: &str) -> bool {
    if word.split(['+', '/', '=', '_', '-']).any(is_random) {
        return true;
    }
    // A name that KubeWise must tell (`Pod/web-7d9f8b6c4d-x2x9p`) holds both alphabets' separators, or is lower case.
    let one_alphabet = !word.contains(['-', '_']) || !word.contains(['+', '/']);
    let has = |of: fn(&u8) -> bool| word.as_bytes().iter().any(of);
    let of_all = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit);
    if !one_alphabet || !of_all {
        return false;
    }
    let whole: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
    whole.len() >= SHORTEST_WHOLE && is_random(&whole)
}

/// Whether letters and digits are no words. Of ASCII alphanumerics only.
fn is_random(part: &str) -> bool {
    let bytes = part.strip_prefix("0x").unwrap_or(part).as_bytes();
    if bytes.len() < SHORTEST_RANDOM || bytes.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let has_digits = bytes.iter().any(u8::is_ascii_digit);
    if has_digits && bytes.iter().all(u8::is_ascii_hexdigit) {
        return bytes.len() >= SHORTEST_HEX;
    }
    let (mut pairs, mut of_words, mut changes) = (0, 0, 0);
    for pair in bytes.windows(2) {
        let &[first, second] = pair else { continue };
        if first.is_ascii_digit() != second.is_ascii_digit() {
            changes += 1;
        } else if !first.is_ascii_digit() {
            pairs += 1;
            of_words += usize::from(is_of_words(first, second));
        }
    }
    if pairs < FEW_PAIRS { changes >= MANY_CHANGES } else { of_words * 100 < pairs * WORDS_PERCENT }
}

fn is_of_words(first: u8, second: u8) -> bool {
    static TABLE: LazyLock<[[bool; 26]; 26]> = LazyLock::new(|| {
        let mut table = [[false; 26]; 26];
        for pair in PAIRS.split_whitespace() {
            if let &[first, second] = pair.as_bytes() {
                table[usize::from(first - b'a')][usize::from(second - b'a')] = true;
            }
        }
        table
    });
    let index = |letter: u8| usize::from(letter.to_ascii_lowercase() - b'a');
    TABLE[index(first)][index(second)]
}

/// Whether a word is base64 of text. Of a word that is not, eight bytes in a row are text once in three thousand times.
fn is_hidden_text(word: &str) -> bool {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    const ALPHABETS: [GeneralPurpose; 2] =
        [GeneralPurpose::new(&STANDARD, LENIENT), GeneralPurpose::new(&URL_SAFE, LENIENT)];
    let word = word.trim_matches('=');
    if word.len() < SHORTEST_BASE64 {
        return false;
    }
    ALPHABETS.iter().any(|alphabet| {
        let decoded = alphabet.decode(word).unwrap_or_default();
        !decoded.is_empty() && decoded.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~'))
    })
}
