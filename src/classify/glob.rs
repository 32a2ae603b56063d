//! Globs over names, values and paths.
//!
//! A [`Glob`] matches one string: `*` stands for any run of characters. A
//! [`PathGlob`] matches a normalised path segment by segment: `*` stays within
//! its segment, `**` stands for any number of whole segments, none included, so
//! that `/checkout/**` is `/checkout` and everything below it. Both backtrack to
//! the last star only, which bounds a match to the product of both lengths.
//!
//! No `?`, no character classes, no alternatives: a route that needs them is two
//! routes, and two routes are easier to read.

use super::path;

/// Whether the case of ASCII letters counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// `A` is not `a`: query values and operation names.
    Sensitive,
    /// `A` is `a`: hosts and header values.
    Ignored,
}

/// A pattern for one string, `*` standing for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    pattern: Box<[u8]>,
    case: Case,
}

impl Glob {
    /// The glob of `pattern`; every string is one.
    pub fn new(pattern: &str, case: Case) -> Glob {
        Glob { pattern: pattern.as_bytes().into(), case }
    }

    /// Whether it matches `text` as a whole.
    pub fn matches(&self, text: &str) -> bool {
        let same = |pattern: &u8, byte: &u8| match self.case {
            Case::Sensitive => pattern == byte,
            Case::Ignored => pattern.eq_ignore_ascii_case(byte),
        };
        wildcard(&self.pattern, text.as_bytes(), |pattern| *pattern == b'*', same)
    }

    /// Whether it certainly matches whatever `other` matches: a star of the other may stand for
    /// anything, so only a star takes it. Never true by mistake, now and then false by caution.
    pub fn covers(&self, other: &Glob) -> bool {
        let folds = self.case == Case::Ignored;
        let same =
            |own: &u8, byte: &u8| *byte != b'*' && (own == byte || folds && own.eq_ignore_ascii_case(byte));
        let is_exact_enough = folds || other.case == Case::Sensitive;
        is_exact_enough && wildcard(&self.pattern, &other.pattern, |own| *own == b'*', same)
    }

    /// The one text that it matches, whose case counts like this; `None` if there are several.
    pub fn literal(&self, case: Case) -> Option<&str> {
        (self.case == case && !self.pattern.contains(&b'*')).then(|| self.pattern())
    }

    /// The pattern as it was written, as far as that is UTF-8.
    pub fn pattern(&self) -> &str {
        std::str::from_utf8(&self.pattern).unwrap_or_default()
    }
}

/// Why a text is not a path glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathGlobError {
    /// It is relative.
    #[error("a path starts with `/`")]
    Relative,
    /// It carries a query.
    #[error("a path ends before its `?`; match the query with `query: {{ key: value }}`")]
    Query,
    /// It is longer than any path that is matched.
    #[error("a path has at most {} bytes", path::PATH_BYTES_MAX)]
    Overlong,
    /// `**` shares its segment.
    #[error("`**` stands for whole segments; within one, write `*`")]
    DeepWithinSegment,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Pattern(Glob),
    Deep,
}

/// A segment of a pattern that says all by itself whether a segment of a path takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// This very segment.
    Literal(&'a str),
    /// Any segment.
    Any,
}

/// A pattern for a normalised path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathGlob {
    segments: Box<[Segment]>,
    /// Of its literal segments: a path without one of them is told apart at a glance.
    marks: Marks,
}

/// A path, ready to be held against many globs.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    list: Vec<&'a str>,
    marks: Marks,
}

/// A small Bloom filter of segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Marks(u64);

impl Marks {
    /// Length and ends tell most words of a policy apart, and cost nothing to look at.
    fn of(segment: &str) -> Marks {
        let bytes = segment.as_bytes();
        let (first, last) = (bytes.first().copied(), bytes.last().copied());
        let mix = bytes.len() * 7 + usize::from(first.unwrap_or(0)) * 5 + usize::from(last.unwrap_or(0));
        Marks(1 << (mix % 64))
    }

    fn or(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }

    fn may_hold(self, other: Marks) -> bool {
        other.0 & !self.0 == 0
    }
}

impl<'a> Segments<'a> {
    /// Of a path as [`path::key`] makes them.
    pub fn of(key: &'a str) -> Segments<'a> {
        let list: Vec<&str> = segments(key).collect();
        let marks = list.iter().map(|segment| Marks::of(segment)).fold(Marks::default(), Marks::or);
        Segments { list, marks }
    }
}

impl<'a> std::ops::Deref for Segments<'a> {
    type Target = [&'a str];

    fn deref(&self) -> &[&'a str] {
        &self.list
    }
}

impl PathGlob {
    /// Compiles `pattern`, which is normalised like the paths it will meet.
    ///
    /// # Errors
    /// What is wrong with it, in words for an operator.
    pub fn new(pattern: &str) -> Result<PathGlob, PathGlobError> {
        if !pattern.starts_with('/') {
            return Err(PathGlobError::Relative);
        }
        if pattern.contains('?') {
            return Err(PathGlobError::Query);
        }
        if pattern.len() > path::PATH_BYTES_MAX {
            return Err(PathGlobError::Overlong);
        }
        let segments: Box<[Segment]> =
            segments(&path::key(pattern)).map(Segment::new).collect::<Result<_, _>>()?;
        let literals = segments.iter().filter_map(Segment::literal);
        let marks = literals.map(Marks::of).fold(Marks::default(), Marks::or);
        Ok(PathGlob { segments, marks })
    }

    /// Every path.
    pub fn any() -> PathGlob {
        PathGlob { segments: Box::new([Segment::Deep]), marks: Marks::default() }
    }

    /// Whether it matches a path.
    pub fn matches(&self, path: &Segments<'_>) -> bool {
        path.marks.may_hold(self.marks)
            && wildcard(&self.segments, path, |segment| *segment == Segment::Deep, Segment::matches)
    }

    /// Whether it certainly matches whatever `other` matches; see [`Glob::covers`].
    pub fn covers(&self, other: &PathGlob) -> bool {
        wildcard(&self.segments, &other.segments, |own| *own == Segment::Deep, Segment::covers)
    }

    /// The segments without a star.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::literal)
    }

    /// How it begins: its segments before the first that is neither literal nor a lone star.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.segments.iter().map_while(Segment::step)
    }

    /// The segments without a star after the first `steps` of [`steps`](PathGlob::steps).
    pub fn literals_after(&self, steps: usize) -> impl Iterator<Item = &str> {
        self.segments.iter().skip(steps).filter_map(Segment::literal)
    }

    /// `css` if it matches only paths that end in `.css`.
    pub fn extension(&self) -> Option<&str> {
        let Some(Segment::Pattern(last)) = self.segments.last() else { return None };
        let (_, extension) = std::str::from_utf8(&last.pattern).ok()?.rsplit_once('.')?;
        (!extension.contains('*')).then_some(extension)
    }
}

impl Segment {
    fn new(text: &str) -> Result<Segment, PathGlobError> {
        match text {
            "**" => Ok(Segment::Deep),
            _ if text.contains("**") => Err(PathGlobError::DeepWithinSegment),
            _ if text.contains('*') => Ok(Segment::Pattern(Glob::new(text, Case::Sensitive))),
            _ => Ok(Segment::Literal(text.into())),
        }
    }

    fn literal(&self) -> Option<&str> {
        match self {
            Segment::Literal(text) => Some(text),
            Segment::Pattern(_) | Segment::Deep => None,
        }
    }

    fn step(&self) -> Option<Step<'_>> {
        match self {
            Segment::Literal(text) => Some(Step::Literal(text)),
            Segment::Pattern(glob) => (*glob.pattern == *b"*").then_some(Step::Any),
            Segment::Deep => None,
        }
    }

    fn covers(&self, other: &Segment) -> bool {
        match (self, other) {
            (Segment::Deep, _) => true,
            (_, Segment::Deep) => false,
            (Segment::Pattern(own), Segment::Pattern(other)) => own.covers(other),
            (_, Segment::Literal(text)) => self.matches(&text.as_ref()),
            (Segment::Literal(_), Segment::Pattern(_)) => false,
        }
    }

    fn matches(&self, text: &&str) -> bool {
        match self {
            Segment::Literal(literal) => **literal == **text,
            Segment::Pattern(glob) => glob.matches(text),
            Segment::Deep => true,
        }
    }
}

/// The segments of a normalised path; `/` has none.
fn segments(key: &str) -> impl Iterator<Item = &str> {
    key.split('/').filter(|segment| !segment.is_empty())
}

/// Greedy matching that, on a mismatch, gives the last star one item more.
fn wildcard<P, T>(
    pattern: &[P],
    text: &[T],
    is_star: impl Fn(&P) -> bool,
    same: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(star) if is_star(star) => {
                retry = Some((at + 1, seen));
                at += 1;
            }
            Some(item) if same(item, &text[seen]) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((after_star, taken)) = retry else { return false };
                retry = Some((after_star, taken + 1));
                (at, seen) = (after_star, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(is_star)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let key = path::key(path);
        PathGlob::new(pattern).unwrap().matches(&Segments::of(&key))
    }

    #[test]
    fn star_stays_within_its_segment() {
        assert!(matches("/rest/*/v1/carts", "/rest/default/V1/carts"));
        assert!(!matches("/rest/*/v1/carts", "/rest/a/b/V1/carts"));
        assert!(!matches("/rest/*", "/rest"));
        assert!(matches("/img/*.png", "/img/a.b.png"));
    }

    #[test]
    fn double_star_stands_for_any_depth_none_included() {
        for path in ["/checkout", "/checkout/", "/checkout/a", "/checkout/a/b"] {
            assert!(matches("/checkout/**", path), "{path}");
        }
        assert!(!matches("/checkout/**", "/checkouts"));
        assert!(matches("/**/carts/*/items", "/store/1/carts/9/items"));
        assert!(matches("/a/**/b/**/c", "/a/b/x/b/y/c"));
        assert!(!matches("/a/**/b/**/c", "/a/x/c/b"));
    }

    #[test]
    fn case_counts_only_where_it_should() {
        assert!(Glob::new("*.Shop.test", Case::Ignored).matches("www.SHOP.test"));
        assert!(!Glob::new("checkout", Case::Sensitive).matches("Checkout"));
        assert!(Glob::new("*", Case::Sensitive).matches(""));
        assert!(!Glob::new("", Case::Sensitive).matches("a"));
    }

    #[test]
    fn a_glob_covers_what_it_matches_however_the_other_is_written() {
        let covers = |one: &str, other: &str| {
            let glob = |text| PathGlob::new(text).unwrap();
            glob(one).covers(&glob(other))
        };
        for (one, other) in [
            ("/cart/**", "/cart"),
            ("/cart/**", "/cart/**"),
            ("/cart/**", "/cart/*/items/**"),
            ("/**", "/a"),
            ("/*/cart", "/shop-*/cart"),
            ("/**/*.js", "/assets/**/app-*.js"),
            ("/a*c", "/a*b*c"),
        ] {
            assert!(covers(one, other), "{one} covers {other}");
        }
        for (one, other) in
            [("/cart", "/cart/**"), ("/cart/*", "/cart/**"), ("/a", "/*"), ("/a*b", "/a*"), ("/*.js", "/*.*")]
        {
            assert!(!covers(one, other), "{one} does not cover {other}");
        }
        let glob = |text, case| Glob::new(text, case);
        assert!(glob("*.Shop.test", Case::Ignored).covers(&glob("www.shop.TEST", Case::Ignored)));
        assert!(!glob("pay", Case::Sensitive).covers(&glob("Pay", Case::Sensitive)));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let glob = Glob::new(&"*a".repeat(50), Case::Sensitive);
        assert!(!glob.matches(&format!("{}b", "a".repeat(4000))));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(PathGlob::new("checkout"), Err(PathGlobError::Relative));
        assert_eq!(PathGlob::new("/?wc-ajax=checkout"), Err(PathGlobError::Query));
        assert_eq!(PathGlob::new(&"/a".repeat(1_025)), Err(PathGlobError::Overlong));
        assert_eq!(PathGlob::new("/a**/b"), Err(PathGlobError::DeepWithinSegment));
    }
}
