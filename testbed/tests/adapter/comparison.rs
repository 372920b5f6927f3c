//! What differs between the two servers in one read, against what may differ.

use crate::{
    answer::Answer,
    case::{Case, Read},
    differences::{Affects, Difference, known},
    side::Seen,
};
use std::collections::BTreeSet;

/// The known difference of all errors, which is not declared for each read.
const MESSAGES: &str = "messages";

/// The queries of both servers up to now. Our server may answer from its cache and may ask ahead, so that only all
/// queries up to a read can be compared.
#[derive(Default)]
pub(crate) struct Queries {
    adapter: BTreeSet<String>,
    ours: BTreeSet<String>,
    /// Those that a known difference explains.
    explained: BTreeSet<String>,
}

/// Compares the answers to one read; gives the problems and the known differences that were seen.
pub(crate) fn compare(
    read: &Read,
    adapter: &Seen,
    ours: &Seen,
    queries: &mut Queries,
) -> (Vec<String>, Vec<String>) {
    let mut problems = Vec::new();
    let declared: Vec<_> = read.differs.iter().map(|id| (id, known(id))).collect();
    problems.extend(
        declared.iter().filter(|it| it.1.is_none()).map(|(id, _)| format!("`{id}` is no known difference")),
    );
    let may =
        |affects: Affects| declared.iter().any(|(_, known)| known.is_some_and(|it| it.affects(affects)));

    let mut seen = read.differs.clone();
    let same_error = same_error(&adapter.answer, &ours.answer);
    seen.extend(same_error.then(|| MESSAGES.to_owned()));
    let answers_differ = adapter.answer != ours.answer && !same_error;
    if answers_differ && !may(Affects::Answer) {
        problems.push(format!("adapter: {}\n    ours:    {}", full(adapter), full(ours)));
    }
    let (is, said) = (ours.answer.summary(), read.ours.as_deref().unwrap_or(&read.answer));
    if answers_differ && may(Affects::Answer) && is != said {
        problems.push(format!("our answer is not the one in the file:\n<< {is}"));
    }
    let difference = queries.add(&adapter.queries, &ours.queries);
    let queries_differ = !difference.is_empty();
    if queries_differ && !may(Affects::Queries) {
        problems.push(format!("queries of one server only:\n    {}", difference.join("\n    ")));
    }
    let is_seen = |known: &Difference| {
        answers_differ && known.affects(Affects::Answer) || queries_differ && known.affects(Affects::Queries)
    };
    let unseen = declared.iter().filter(|(_, known)| known.is_some_and(|known| !is_seen(known)));
    problems.extend(unseen.map(|(id, _)| format!("`{id}` is not seen: remove the known difference")));
    let query = |line: &String| line.split_once(": ").map_or_else(String::new, |it| it.1.to_owned());
    queries.explained.extend(difference.iter().map(query));
    (problems, seen)
}

/// Whether both answers are errors of one code, in other words.
fn same_error(adapter: &Answer, ours: &Answer) -> bool {
    adapter.code == ours.code && adapter.code >= 400 && adapter != ours
}

/// Compares how the servers called Prometheus; gives the problems and the known differences that were seen.
pub(crate) fn compare_calls(
    case: &Case,
    adapter: &BTreeSet<String>,
    ours: &BTreeSet<String>,
) -> (Vec<String>, Vec<String>) {
    let (calls, other): (Vec<_>, Vec<_>) =
        case.differs.iter().cloned().partition(|id| known(id).is_some_and(|it| it.affects(Affects::Calls)));
    let unknown = other.iter().map(|id| format!("`{id}` is no known difference of calls"));
    let problems = match (adapter == ours, calls.is_empty()) {
        (false, true) => adapter
            .symmetric_difference(ours)
            .map(|call| format!("only one server calls Prometheus so: {call}"))
            .collect(),
        (true, false) => vec!["the calls do not differ: remove the known difference".into()],
        _ => Vec::new(),
    };
    (unknown.chain(problems).collect(), calls)
}

fn full(seen: &Seen) -> String {
    format!("{} {}", seen.answer.code, seen.answer.text.trim_end())
}

impl Queries {
    /// Adds the queries of a read; gives those that only one of the servers has sent up to now.
    fn add(&mut self, adapter: &[String], ours: &[String]) -> Vec<String> {
        self.adapter.extend(adapter.iter().cloned());
        self.ours.extend(ours.iter().cloned());
        let only = |name: &str, one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
            let own = one.difference(other).filter(|query| !self.explained.contains(*query));
            own.map(|query| format!("{name}: {query}")).collect()
        };
        let mut difference = only("adapter", &self.adapter, &self.ours);
        difference.extend(only("ours", &self.ours, &self.adapter));
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;

    fn seen(code: u16, queries: &[&str]) -> Seen {
        let answer = Answer::new(code, "text/plain", "text".into());
        Seen { answer, queries: queries.iter().map(|&query| query.to_owned()).collect() }
    }

    fn read(differs: &[&str], ours: Option<&str>) -> Read {
        let differs = differs.iter().map(|&id| id.to_owned()).collect();
        Read { differs, ours: ours.map(str::to_owned), ..Read::default() }
    }

    /// How many problems a first read has.
    fn problems(read: &Read, adapter: &Seen, ours: &Seen) -> usize {
        compare(read, adapter, ours, &mut Queries::default()).0.len()
    }

    #[test]
    fn answers_that_differ_are_a_problem_unless_a_known_difference_says_so() {
        let (adapter, ours) = (seen(500, &[]), seen(503, &[]));
        assert_eq!(problems(&read(&[], None), &adapter, &adapter), 0);
        assert_eq!(problems(&read(&[], None), &adapter, &ours), 1);
        let ours_is = Some("503 text/plain text");
        assert_eq!(problems(&read(&["backend-failure"], ours_is), &adapter, &ours), 0);
        assert_eq!(problems(&read(&["backend-failure"], Some("504")), &adapter, &ours), 1);
        assert_eq!(problems(&read(&["escaped-names"], ours_is), &adapter, &ours), 2);
    }

    #[test]
    fn an_error_may_have_other_words_but_no_other_code() {
        let answer = |code, text: &str| Seen {
            answer: Answer::new(code, "text/plain", text.into()),
            queries: Vec::new(),
        };
        let (adapter, ours, other) = (answer(404, "a"), answer(404, "b"), answer(400, "a"));
        let same = compare(&read(&[], None), &adapter, &ours, &mut Queries::default());
        assert_eq!(same, (Vec::new(), vec![MESSAGES.to_owned()]));
        assert_eq!(problems(&read(&[], None), &adapter, &other), 1);
    }

    #[test]
    fn calls_differ_only_where_the_case_says_so() {
        let calls = |text: &str| BTreeSet::from([text.to_owned()]);
        let case = |id: Option<&str>| Case {
            differs: id.map(str::to_owned).into_iter().collect(),
            ..Case::default()
        };
        let compare = |id, ours| compare_calls(&case(id), &calls("GET"), &calls(ours)).0.len();
        assert_eq!(compare(None, "GET"), 0);
        assert_eq!(compare(None, "POST"), 2);
        assert_eq!(compare(Some("long-queries"), "POST"), 0);
        assert_eq!(compare(Some("long-queries"), "GET"), 1);
        assert_eq!(compare(Some("not-finite"), "GET"), 1);
    }

    #[test]
    fn a_known_difference_that_is_not_seen_is_a_problem() {
        let same = seen(200, &["up"]);
        assert_eq!(problems(&read(&["backend-failure"], None), &same, &same), 1);
        assert_eq!(problems(&read(&["escaped-names"], None), &same, &same), 1);
        assert_eq!(problems(&read(&["never-heard-of"], None), &same, &same), 1);
    }

    #[test]
    fn a_query_may_have_been_sent_by_an_earlier_read() {
        let mut queries = Queries::default();
        let read = read(&[], None);
        assert!(compare(&read, &seen(200, &["up"]), &seen(200, &["up"]), &mut queries).0.is_empty());
        assert!(compare(&read, &seen(200, &["up"]), &seen(200, &[]), &mut queries).0.is_empty());
        assert_eq!(compare(&read, &seen(200, &["up"]), &seen(200, &["down"]), &mut queries).0.len(), 1);
    }

    #[test]
    fn a_query_that_a_known_difference_explains_is_no_problem_later() {
        let mut queries = Queries::default();
        let (adapter, ours) = (seen(200, &["a.b"]), seen(200, &["a\\.b"]));
        let first = compare(&read(&["escaped-names"], None), &adapter, &ours, &mut queries);
        assert_eq!(first, (Vec::new(), vec!["escaped-names".to_owned()]));
        assert!(compare(&read(&[], None), &adapter, &ours, &mut queries).0.is_empty());
    }
}
