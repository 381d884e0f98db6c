-- Datasets of very unequal size, their samples, a few terms and labels. Three of ten datasets are
-- unanimous and confident. See load.py for the parameters.
create temporary table made as
select i as dataset,
    greatest(1, round(%(largest)s / sqrt(1 + (i - 1) %% %(datasets)s)))::integer as size
from generate_series(1, 1000000) i;
create temporary table placed as
select dataset, ends - size + 1 as first, least(ends, %(samples)s) as last
from (select dataset, size, sum(size) over (order by dataset) as ends from made) m
where ends - size < %(samples)s;
insert into atlas.dataset (dataset_id) select 'GSE' || 100000 + dataset from placed;
insert into atlas.sample (sample_id, dataset_id)
select 'SRR' || 1000000 + n, 'GSE' || 100000 + dataset
from placed, generate_series(first, last) n;
insert into atlas.term (term_id, name) values ('organ', 'organ');
insert into atlas.term (term_id, name)
select 'tissue ' || i, 'tissue ' || i from generate_series(0, 29) i;
insert into atlas.term_parent select 'tissue ' || i, 'organ' from generate_series(0, 29) i;
insert into atlas.annotation (sample_id, field, value)
select sample_id, 'sex', case when hashtext(sample_id) %% 2 = 0 then 'female' else 'male' end
from atlas.sample where hashtext(sample_id) %% %(labelled)s = 0;
drop table pg_temp.made, pg_temp.placed;
