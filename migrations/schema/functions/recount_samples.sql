create or replace function annotator.recount_samples(samples text[], field text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    datasets text[];
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        return;
    end if;
    select array_agg(of_batch.dataset_id) into datasets
    from (
        select distinct p.dataset_id
        from annotator.prediction p
        where p.sample_id = any (recount_samples.samples) and p.field = recount_samples.field
        order by 1
    ) of_batch
    where annotator.lock_group(of_batch.dataset_id, recount_samples.field);
    if datasets is not null then
        perform annotator.count_groups(
            datasets, array_fill(recount_samples.field, array[cardinality(datasets)]));
    end if;
end $$;
comment on function annotator.recount_samples(text[], text) is
    'Compute the places of the datasets of these samples in the transaction that changed their predictions, so that readers need not.';
