//! Checks that namespace and selector are bound into a query, whatever the three are.

use std::collections::BTreeMap;
use std::thread;

use super::matcher::{Comparison, Matcher};
use super::native::{NamespaceMode, NativeQuery, SelectorMode};
use super::plan::BackendName;
use super::promql::Expr;
use super::promql::QueryTemplate;
use super::rule::Rule;
use crate::metric::{MetricName, Namespace, Resources, Selector};

/// The size of the stack that the server parses with: the deepest tree allowed is walked here, too.
const STACK: usize = 16 * 1024 * 1024;

/// A rule's query, then a line with a value, then one with a selector: rendered with them the query is read again, has
/// the selectors that it had, and each carries what was added.
pub fn injection(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.rsplitn(3, '\n');
    let (Some(selector), Some(value), Some(query)) = (lines.next(), lines.next(), lines.next()) else {
        return;
    };
    thread::scope(|scope| {
        let thread =
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || bind(query, value, selector));
        assert!(thread.is_ok_and(|thread| thread.join().is_ok()), "{text:?}");
    });
}

fn bind(query: &str, value: &str, selector: &str) {
    let Ok(template) = QueryTemplate::parse(query) else { return };
    let matcher = |label: &'static str, operator| Matcher {
        label: label.into(),
        operator,
        value: value.to_owned().into(),
    };
    carries(query, &template, &[], value);
    carries(
        query,
        &template,
        &[matcher("namespace", Comparison::Equal), matcher("label", Comparison::NotEqual)],
        value,
    );
    if let (Ok(namespace), Ok(selector)) = (Namespace::parse(value), selector.parse()) {
        binds(query, template, &namespace, &selector);
    }
}

/// The query of a request is bound to its namespace and selector.
fn binds(text: &str, template: QueryTemplate, namespace: &Namespace, selector: &Selector) {
    let parameters = template.parameters().clone();
    let (Ok(name), backend) = (MetricName::parse("metric"), BackendName("default".into())) else { return };
    let query = NativeQuery::new(template, NamespaceMode::default(), SelectorMode::Inject);
    let Ok(rule) = query.map(|query| Rule::native(name, backend, query)) else { return };
    let Ok(plan) = rule.external_plan(namespace, selector, &Resources::default()) else { return };
    let [bound_query] = &plan.queries[..] else { unreachable!("a native rule has one query: {plan:?}") };
    let mut bound = vec![Matcher {
        label: "namespace".into(),
        operator: Comparison::Equal,
        value: namespace.as_str().into(),
    }];
    let injected =
        selector.requirements().iter().filter(|requirement| !parameters.contains(&requirement.key));
    bound.extend(injected.filter_map(|requirement| Matcher::for_requirement(requirement).ok()));
    let sent = Expr::parse_printed(&bound_query.promql).map(|query| query.selectors());
    let written = Expr::parse(text).map(|query| query.selectors().len());
    assert_eq!(sent.as_ref().map(Vec::len), written.as_ref().copied(), "{text:?}: {bound_query:?}");
    for matchers in sent.into_iter().flatten() {
        assert!(bound.iter().all(|matcher| matchers.contains(matcher)), "{text:?}: {bound_query:?}");
    }
}

/// Renders the template of `text` with `added` and with `value` for every parameter, reads that again without a look at
/// how the template did it, and compares selectors and strings with what was written.
pub(super) fn carries(text: &str, template: &QueryTemplate, added: &[Matcher<'static>], value: &str) {
    let parameters = template.parameters();
    let values: BTreeMap<_, _> = parameters.iter().map(|name| (name.clone(), value.to_owned())).collect();
    let rendered = template.render(added, &values).unwrap_or_default();
    let (written, read) = (Expr::parse(text), Expr::parse_printed(&rendered));
    let (Ok(written), Ok(read)) = (&written, &read) else {
        assert!(written.is_ok() && read.is_ok(), "{text:?} becomes {rendered:?}: {:?}", read.as_ref().err());
        return;
    };
    let (before, after) = (written.selectors(), read.selectors());
    assert_eq!(before.len(), after.len(), "{text:?}: the same selectors as before");
    for (before, after) in before.into_iter().zip(after) {
        let own = before.into_iter().map(|mut matcher| {
            let by_value = matches!(matcher.operator, Comparison::Equal | Comparison::NotEqual);
            if by_value && matcher.value.strip_prefix('$').is_some_and(|name| parameters.contains(name)) {
                matcher.value = value.to_owned().into();
            }
            matcher
        });
        let mut expected: Vec<_> = own.chain(added.iter().cloned()).collect();
        expected.sort();
        assert_eq!(after, expected, "{text:?}");
    }
    assert_eq!(read.strings(), written.strings(), "{text:?}");
}
