use tokenizers::DecoderWrapper;

/// After which tokens the text so far is final, whatever token follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// Each token is whole characters.
    EveryToken,
    /// Tokens are bytes spelt as characters (GPT-2, Llama 3, Qwen): final where a character ends.
    Characters,
    /// Rare characters are tokens `<0xE2>` (SentencePiece: Llama 2, Gemma). The decoder turns a whole run of these into
    /// U+FFFD if any of it is invalid, so a run is final when another token follows.
    ByteRuns,
    /// The decoder may rewrite earlier text in ways we do not follow: nothing is final before the end.
    Never,
}

impl Boundary {
    pub(crate) fn of(decoder: Option<&DecoderWrapper>) -> Self {
        let mut steps = Vec::new();
        if let Some(decoder) = decoder {
            flatten(decoder, &mut steps);
        }
        // Up to the step that joins the tokens, steps work on single tokens, at most treating the first one apart.
        // Past it they see the whole text and may only take something off its beginning.
        let is_joining =
            |step: &&DecoderWrapper| matches!(step, DecoderWrapper::Fuse(_) | DecoderWrapper::ByteLevel(_));
        let joined_at = steps.iter().position(is_joining).unwrap_or(steps.len());
        let (single, whole) = steps.split_at(joined_at);
        let (byte_level, rest) = match whole {
            [DecoderWrapper::ByteLevel(_), rest @ ..] => (true, rest),
            other => (false, other),
        };
        let keeps_the_end = |step: &&DecoderWrapper| match step {
            DecoderWrapper::Fuse(_) => true,
            DecoderWrapper::Strip(strip) => strip.stop == 0,
            _ => false,
        };
        let stays_single = |step: &&DecoderWrapper| !matches!(step, DecoderWrapper::CTC(_));
        let byte_fallback = single.iter().any(|step| matches!(step, DecoderWrapper::ByteFallback(_)));
        if !rest.iter().all(keeps_the_end) || !single.iter().all(stays_single) {
            return Self::Never;
        }
        match (byte_level, byte_fallback, single.is_empty()) {
            (true, false, true) => Self::Characters,
            (true, ..) => Self::Never,
            (false, true, _) => Self::ByteRuns,
            (false, false, _) => Self::EveryToken,
        }
    }

    /// Whether the text is final after `token`. `open` holds the bytes of a character that is not complete yet; it
    /// belongs to one sequence and starts empty.
    pub(crate) fn is_after(self, token: &str, open: &mut Vec<u8>) -> bool {
        match self {
            Self::EveryToken => true,
            Self::ByteRuns => byte_token(token).is_none(),
            Self::Never => false,
            Self::Characters => {
                open.extend(byte_level(token));
                let incomplete = incomplete_at(open);
                open.drain(..incomplete);
                open.is_empty()
            }
        }
    }

    /// The bytes of `token`, where its spelling alone tells them.
    pub(crate) fn bytes(self, token: &str) -> Option<Vec<u8>> {
        match self {
            Self::Characters => Some(byte_level(token)),
            Self::ByteRuns => byte_token(token).map(|byte| vec![byte]),
            Self::EveryToken | Self::Never => None,
        }
    }
}

fn flatten<'a>(decoder: &'a DecoderWrapper, steps: &mut Vec<&'a DecoderWrapper>) {
    match decoder {
        DecoderWrapper::Sequence(sequence) => {
            sequence.get_decoders().iter().for_each(|decoder| flatten(decoder, steps));
        }
        step => steps.push(step),
    }
}

/// Where the unfinished character at the end of `bytes` begins; their length if there is none.
fn incomplete_at(bytes: &[u8]) -> usize {
    let mut start = 0;
    while let Err(error) = std::str::from_utf8(&bytes[start..]) {
        start += error.valid_up_to();
        match error.error_len() {
            Some(invalid) => start += invalid,
            None => return start,
        }
    }
    bytes.len()
}

/// `<0xE2>`, as the ByteFallback decoder reads it.
fn byte_token(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (hex.len() == 2).then(|| u8::from_str_radix(hex, 16).ok())?
}

/// A token with any character outside GPT-2's byte alphabet, say an added one with a space, stands for itself.
fn byte_level(token: &str) -> Vec<u8> {
    let bytes: Option<Vec<u8>> = token.chars().map(alphabet_byte).collect();
    bytes.unwrap_or_else(|| token.as_bytes().to_vec())
}

/// GPT-2 spells printable Latin-1 bytes as themselves and the other 68 as the characters from U+0100.
fn alphabet_byte(spelt: char) -> Option<u8> {
    let byte = match u32::from(spelt) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => code,
        code @ 0x100..=0x120 => code - 0x100,
        code @ 0x121..=0x142 => code - 0x121 + 0x7F,
        0x143 => 0xAD,
        _ => return None,
    };
    u8::try_from(byte).ok()
}
