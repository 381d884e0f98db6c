-- Samples in a dataset are pooled, so a dataset that does not fit is left for the next batch,
-- unless it is the only one. Rows are updated by ctid: with statistics from before the queue
-- grew, the planner would join by comparing every row with every other.
with waiting as (
    select w.ctid as place, w.sample_id, w.dataset_id
    from annotator.work w
    where w.field = %(field)s and w.release_id = %(release_id)s
      and (w.leased_until is null or w.leased_until <= statement_timestamp())
      and (w.attempts >= %(suspect_attempts)s) = %(suspect)s
    order by w.dataset_id, w.sample_id
    limit %(batch_size)s + 1
    for update skip locked
), datasets as materialized (
    select
        min(dataset_id) as first, max(dataset_id) as last, count(*) > %(batch_size)s as is_cut
    from waiting
), chosen as (
    select waiting.place
    from waiting
    cross join datasets
    where not datasets.is_cut
        or datasets.first = datasets.last or waiting.dataset_id <> datasets.last
    order by waiting.dataset_id, waiting.sample_id
    limit %(batch_size)s
)
update annotator.work w set
    leased_by = %(worker)s,
    leased_until = clock_timestamp() + make_interval(secs => %(lease_seconds)s),
    attempts = w.attempts + 1
from chosen
where w.ctid = chosen.place
returning w.sample_id, w.dataset_id, w.field, w.sample_updated_at, w.attempts
