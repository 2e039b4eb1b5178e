"""History as pandas DataFrames: what the journal knows of deployments, asked, drawn, reported and exported.

Lives here: the columns of each frame (`schema`, with the SQL of each), reading them (`load`, `fast`), questions and
plots on frames, Parquet, the report of one deployment. pandas, pyarrow, matplotlib and ADBC are imported when used.
Must not live here: anything that writes to a home, talks to a network, or decides something for a deployment.
"""
