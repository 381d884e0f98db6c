-- Group roles; a database administrator makes login roles members of them.
-- Roles belong to the whole server, so they may exist already.
do $$
declare
    role_name text;
    -- Before PostgreSQL 16 every member of a role may act as it.
    act_as constant text :=
        case when current_setting('server_version_num')::int < 160000 then 'member' else 'set' end;
begin
    foreach role_name in array array['annotator_daemon', 'annotator_curator', 'annotator_reader']
    loop
        if not exists (select from pg_roles where rolname = role_name) then
            begin
                execute format('create role %I nologin', role_name);
            exception when duplicate_object or unique_violation then
                null;  -- another database of this server was faster
            end;
            -- Whoever makes the roles may also act as one, for 'annotator sql'.
            if not pg_has_role(current_user, role_name, act_as) then
                execute format('grant %I to current_user', role_name);
            end if;
        end if;
    end loop;
end $$;
