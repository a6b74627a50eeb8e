/// Where an intervention stands in a request, which says how much of it is spelt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `steering.interventions`.
    Intervention,
    /// `steering.features`: features to add.
    Feature,
    /// `steering.vectors`: vectors to add.
    Vector,
    /// A term of `steering`, if that is a line.
    Line,
}

impl Form {
    /// What they are called in `steering`.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Intervention | Self::Line => "interventions",
            Self::Feature => "features",
            Self::Vector => "vectors",
        }
    }

    /// The word for one of them.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Intervention | Self::Line => "intervention",
            Self::Feature => "feature",
            Self::Vector => "vector",
        }
    }

    /// Where all of them are, or one.
    pub(super) fn path(self, index: Option<usize>) -> String {
        match (self, index) {
            (Self::Line, _) => "steering".to_owned(),
            (form, Some(index)) => format!("steering.{}[{index}]", form.key()),
            (form, None) => format!("steering.{}", form.key()),
        }
    }

    /// What a feature and a vector are called in one, where they can be.
    pub(super) fn words(self) -> (Option<&'static str>, Option<&'static str>) {
        match self {
            Self::Intervention | Self::Line => (Some("feature"), Some("vector")),
            Self::Feature => (Some("index"), None),
            Self::Vector => (None, Some("name")),
        }
    }
}
