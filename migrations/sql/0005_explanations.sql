-- Contributions, markers and similarities of the answer itself, the network's own beside them.

alter table annotator.class_contribution add column other_samples double precision
    check (other_samples is null or model_kind = 'combined');
comment on column annotator.class_contribution.other_samples is
    'Of the answer (combined): what the other samples of the dataset contribute to its logit; null where they do not count.';

alter table annotator.class_marker add column network_rank integer check (network_rank > 0);
-- Until now markers were the network's own.
update annotator.class_marker set network_rank = rank;
comment on table annotator.class_marker is
    'The features that set a class apart for the answer of a release, rank 1 the first.';
comment on column annotator.class_marker.score is
    'Mean over the class''s samples of the contribution to the answer''s logit of the class less its mean for the other classes.';
comment on column annotator.class_marker.network_rank is
    'Rank of the feature for the class by DeepLIFT of the network alone, as in the paper.';

alter table annotator.class_similarity
    add column model_kind text not null default 'network'
        check (model_kind in ('combined', 'network'));
alter table annotator.class_similarity alter column model_kind drop default;
alter table annotator.class_similarity
    drop constraint class_similarity_release_id_class_rival_key,
    add unique nulls not distinct (release_id, model_kind, class, rival);
comment on column annotator.class_similarity.model_kind is
    'Whose prediction changed: the answer''s (combined) or the network''s, as in the paper.';
