-- Where in its pack each file begins that stands apart from a raw mail, beside `detached_bytes`: NULL for one that is an object of its
-- own, and for all files of mail that was stored before.
ALTER TABLE inbound ADD COLUMN detached_offsets bigint[];
