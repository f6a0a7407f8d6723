//! Emails of one state, page by page, in the order of their due times.
//!
//! Each lane is read along the index, which holds the order within it, and the lanes are merged here. Conditions that no
//! index serves are looked for among a bounded number of rows, so that no page costs more for ten million old emails.

use std::time::{Instant, SystemTime};

use futures_util::TryStreamExt as _;
use sqlx::{Either, mysql::MySqlRow};

use super::{When, moment, nullable_time, number, time, unix_us};
use crate::{
    state::State,
    store::{Database, Session, StoreError, column::get, connection::bounded, literal::Sql},
};

/// Which emails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// In this state.
    pub state: State,
    /// In this lane only.
    pub lane: Option<String>,
    /// In that state since this time, or a later one.
    pub since: Option<When>,
    /// In that state since before this time.
    pub until: Option<When>,
    /// With this `error_kind` only.
    pub error_kind: Option<String>,
}

/// One email of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `email.id`.
    pub id: u64,
    /// `email.lane`.
    pub lane: String,
    /// `email.due_at`.
    pub due_at: SystemTime,
    /// When it came into its state.
    pub state_at: SystemTime,
    /// When it began.
    pub created_at: SystemTime,
    /// `email.lease_until`.
    pub lease_until: Option<SystemTime>,
    /// `email.attempts`.
    pub attempts: u64,
    /// `email.resends`.
    pub resends: u64,
    /// `email.on_unknown`.
    pub on_unknown: Option<String>,
    /// `email.error_kind`.
    pub error_kind: Option<String>,
    /// The first of `email.to_addresses`, as JSON.
    pub to: Option<String>,
    /// How many there are.
    pub to_count: u64,
    /// The beginning of `email.subject`.
    pub subject: String,
}

/// Some emails of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In the order of `due_at`: oldest first, but newest first for a terminal state.
    pub lines: Vec<Line>,
    /// Where to go on, if there is more to look at.
    pub next: Option<u64>,
}

impl Session {
    /// Rows of a lane that are looked at for one page.
    const LOOK_AT: u32 = 20_000;
    /// Lanes that are looked at. Producers write what they like; more than two are a mistake.
    const MOST_LANES: usize = 50;

    /// A page of at most `limit` emails, after the email `after`; `None` when that one is not there.
    ///
    /// A page may hold fewer, or none, and still have a next one: only so many rows are looked at for one.
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`].
    pub async fn list(
        &mut self,
        filter: &Filter,
        after: Option<u64>,
        limit: u32,
        deadline: Instant,
    ) -> Result<Option<Page>, StoreError> {
        let (lanes, cursor) = self.lanes_and_cursor(filter, after, deadline).await?;
        if after.is_some() && cursor.is_none() {
            return Ok(None);
        }
        let mut sql = Sql::new("");
        for lane in &lanes {
            sql = page_of_lane(sql, filter, lane, cursor, limit);
        }
        let (mut lines, mut ends) = (Vec::new(), Vec::new());
        if !lanes.is_empty() {
            bounded(deadline, Database::STATEMENT_TIMEOUT, async {
                let mut results = sqlx::raw_sql(sql).fetch_many(&mut self.connection);
                let mut looks_at_ends = false;
                while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                    match result {
                        Either::Left(_) => looks_at_ends = !looks_at_ends,
                        Either::Right(row) if looks_at_ends => {
                            ends.push((time(&row, "due_at")?, number(&row, "id")?));
                        }
                        Either::Right(row) => lines.push(line(&row)?),
                    }
                }
                Ok(())
            })
            .await?;
        }
        Ok(Some(merge(lines, &ends, filter.state, usize::try_from(limit).unwrap_or(usize::MAX))))
    }

    async fn lanes_and_cursor(
        &mut self,
        filter: &Filter,
        after: Option<u64>,
        deadline: Instant,
    ) -> Result<(Vec<String>, Option<(i64, u64)>), StoreError> {
        let mut sql = Sql::new(concat!("SELECT ", unix_us!("due_at"), " AS due_at FROM email WHERE id = "))
            .integer(after.unwrap_or(0));
        if filter.lane.is_none() {
            // Hops from lane to lane in the index.
            sql = sql
                .push(
                    "; SELECT DISTINCT lane FROM email FORCE INDEX (email_state_lane_due_at) WHERE state = ",
                )
                .text(filter.state.as_str())
                .push(" LIMIT ")
                .integer(u32::try_from(Self::MOST_LANES).unwrap_or(u32::MAX));
        }
        bounded(deadline, Database::STATEMENT_TIMEOUT, async {
            let mut results = sqlx::raw_sql(sql).fetch_many(&mut self.connection);
            let (mut first, mut lanes, mut cursor) = (true, Vec::from_iter(filter.lane.clone()), None);
            while let Some(result) = results.try_next().await.map_err(StoreError::from_statement)? {
                match result {
                    Either::Left(_) => first = false,
                    Either::Right(row) if first => {
                        cursor = after.zip(get::<Option<i64>>(&row, "due_at")?).map(|(id, due)| (due, id));
                    }
                    Either::Right(row) => lanes.push(get(&row, "lane")?),
                }
            }
            Ok((lanes, cursor))
        })
        .await
    }
}

/// Two statements: the lines, and the last row that was looked at, if there may be more behind it.
fn page_of_lane(sql: Sql, filter: &Filter, lane: &str, cursor: Option<(i64, u64)>, limit: u32) -> Sql {
    let backwards = filter.state.is_terminal();
    let order =
        if backwards { " ORDER BY due_at DESC, id DESC LIMIT " } else { " ORDER BY due_at, id LIMIT " };
    let scope = |sql: Sql| {
        let sql = sql
            .push(" FROM email FORCE INDEX (email_state_lane_due_at) WHERE state = ")
            .text(filter.state.as_str())
            .push(" AND lane = ")
            .text(lane);
        let Some((due_us, id)) = cursor else { return sql.push(order) };
        let due = |sql: Sql| sql.when(When::At(moment(due_us)));
        let (at, beyond, id_beyond) = if backwards {
            (" AND due_at <= ", " AND (due_at < ", " OR id < ")
        } else {
            (" AND due_at >= ", " AND (due_at > ", " OR id > ")
        };
        let sql = due(due(sql.push(at)).push(beyond)).push(id_beyond);
        sql.integer(id).push(")").push(order)
    };
    let sql = sql.push(concat!(
        "SELECT CAST(e.id AS SIGNED) AS id, e.lane, ",
        unix_us!("e.due_at"),
        " AS due_at, ",
        unix_us!("e.state_at"),
        " AS state_at, ",
        unix_us!("e.created_at"),
        " AS created_at, ",
        unix_us!("e.lease_until"),
        " AS lease_until, CAST(e.attempts AS SIGNED) AS attempts, CAST(e.resends AS SIGNED) AS resends, \
         e.on_unknown, e.error_kind, CAST(JSON_EXTRACT(e.to_addresses, '$[0]') AS CHAR) AS first_to, \
         CAST(COALESCE(JSON_LENGTH(e.to_addresses), 0) AS SIGNED) AS to_count, LEFT(e.subject, 200) AS subject \
         FROM (SELECT id",
    ));
    let mut sql = scope(sql)
        .integer(Session::LOOK_AT)
        .push(") AS w STRAIGHT_JOIN email AS e ON e.id = w.id WHERE e.state = ")
        .text(filter.state.as_str());
    if let Some(since) = filter.since {
        sql = sql.push(" AND e.state_at >= ").when(since);
    }
    if let Some(until) = filter.until {
        sql = sql.push(" AND e.state_at < ").when(until);
    }
    if let Some(kind) = &filter.error_kind {
        sql = sql.push(" AND e.error_kind = ").text(kind);
    }
    let order = if backwards {
        " ORDER BY e.due_at DESC, e.id DESC LIMIT "
    } else {
        " ORDER BY e.due_at, e.id LIMIT "
    };
    let sql = sql.push(order).integer(limit.saturating_add(1)).push(concat!(
        "; SELECT CAST(id AS SIGNED) AS id, ",
        unix_us!("due_at"),
        " AS due_at",
    ));
    scope(sql).push("1 OFFSET ").integer(Session::LOOK_AT - 1).push("; ")
}

fn line(row: &MySqlRow) -> Result<Line, StoreError> {
    Ok(Line {
        id: number(row, "id")?,
        lane: get(row, "lane")?,
        due_at: time(row, "due_at")?,
        state_at: time(row, "state_at")?,
        created_at: time(row, "created_at")?,
        lease_until: nullable_time(row, "lease_until")?,
        attempts: number(row, "attempts")?,
        resends: number(row, "resends")?,
        on_unknown: get(row, "on_unknown")?,
        error_kind: get(row, "error_kind")?,
        to: get(row, "first_to")?,
        to_count: number(row, "to_count")?,
        subject: get(row, "subject")?,
    })
}

/// One order out of several lanes'. What lies behind the last row that some lane was looked at to is left to the next
/// page, which would otherwise begin behind rows of that lane.
fn merge(mut lines: Vec<Line>, ends: &[(SystemTime, u64)], state: State, limit: usize) -> Page {
    let backwards = state.is_terminal();
    let end = if backwards { ends.iter().max() } else { ends.iter().min() };
    if let Some(end) = end {
        lines.retain(
            |line| if backwards { (line.due_at, line.id) >= *end } else { (line.due_at, line.id) <= *end },
        );
    }
    lines.sort_by_key(|line| (line.due_at, line.id));
    if backwards {
        lines.reverse();
    }
    let next = if lines.len() > limit {
        lines.truncate(limit);
        lines.last().map(|line| line.id)
    } else {
        end.map(|(_, id)| *id)
    };
    Page { lines, next }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::{Line, merge};
    use crate::state::State;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    fn line(id: u64, second: u64) -> Line {
        Line {
            id,
            lane: "urgent".to_owned(),
            due_at: at(second),
            state_at: at(second),
            created_at: at(second),
            lease_until: None,
            attempts: 0,
            resends: 0,
            on_unknown: None,
            error_kind: None,
            to: None,
            to_count: 0,
            subject: String::new(),
        }
    }

    #[test]
    fn a_page_ends_where_the_first_lane_was_left() {
        // One lane was looked at to second 5, the other one to its end.
        let page = merge(vec![line(1, 1), line(2, 9), line(3, 3)], &[(at(5), 7)], State::Unknown, 10);
        assert_eq!(page.lines.iter().map(|line| line.id).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(page.next, Some(7));
        let page = merge(vec![line(1, 1), line(2, 9), line(3, 3)], &[(at(5), 7)], State::Sent, 10);
        assert_eq!(page.lines.iter().map(|line| line.id).collect::<Vec<_>>(), [2]);
        assert_eq!(page.next, Some(7));
    }

    #[test]
    fn a_full_page_goes_on_behind_its_last_line() {
        let lines = || vec![line(1, 1), line(2, 9), line(3, 3)];
        let page = merge(lines(), &[], State::Pending, 2);
        assert_eq!((page.lines.len(), page.next), (2, Some(3)));
        let page = merge(lines(), &[], State::Failed, 2);
        assert_eq!((page.lines.len(), page.next), (2, Some(3)));
        assert_eq!(merge(lines(), &[], State::Failed, 3).next, None);
    }
}
