-- The roles of docker-compose.yml, made by the superuser with the database. The group roles exist
-- before the first `annotator migrate`, so the owner may do no more than create our schemas.
-- psql reads the passwords from files: they stand in no command line.
\set owner_password `cat /run/secrets/owner_password`
\set daemon_password `cat /run/secrets/daemon_password`
\set reader_password `cat /run/secrets/reader_password`
create role annotator_daemon nologin;
create role annotator_curator nologin;
create role annotator_reader nologin;
create role annotation_owner login password :'owner_password';
create role annotation_service login in role annotator_daemon password :'daemon_password';
create role annotation_reader login in role annotator_reader password :'reader_password';
grant create on database :"DBNAME" to annotation_owner;
