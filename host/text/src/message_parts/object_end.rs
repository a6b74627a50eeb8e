/// Finds where a JSON object ends, from its opening brace on. Tells soon that a text is none, but not for sure that it is one.
#[derive(Clone, Debug, Default)]
pub(super) struct ObjectEnd {
    depth: usize,
    within: Within,
}

#[derive(Clone, Copy, Debug, Default)]
enum Within {
    #[default]
    Structure,
    Text,
    Escape,
}

/// What a character did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    More,
    End,
    /// No JSON has it there.
    Foreign,
}

impl ObjectEnd {
    pub(super) fn push(&mut self, character: char) -> Seen {
        match (self.within, character) {
            (Within::Escape, _) => self.within = Within::Text,
            (Within::Text, '"') => self.within = Within::Structure,
            (Within::Text, '\\') => self.within = Within::Escape,
            (Within::Text, '\0'..=' ') if character != ' ' => return Seen::Foreign,
            (Within::Text, _) => {}
            (Within::Structure, '"') => self.within = Within::Text,
            (Within::Structure, '{' | '[') => self.depth += 1,
            (Within::Structure, '}' | ']') => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return Seen::End;
                }
            }
            (Within::Structure, ':' | ',' | ' ' | '\n' | '\r' | '\t') => {}
            // Numbers, `true`, `false` and `null`.
            (Within::Structure, '0'..='9' | '+' | '-' | '.' | 'a'..='z' | 'E') => {}
            (Within::Structure, _) => return Seen::Foreign,
        }
        Seen::More
    }
}
