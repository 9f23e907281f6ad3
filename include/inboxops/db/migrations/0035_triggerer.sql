-- When something last ran in the cell's triggerer, where polls by the clock begin; NULL: never yet, or a version before runs there.
ALTER TABLE pulse ADD COLUMN triggered_at timestamptz;
